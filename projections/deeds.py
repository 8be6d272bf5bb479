"""What each committed transaction did: the state of the host before it took effect, and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from journal.events import Event, TransactionCommitted, TransactionStarted
from journal.values import Package, Request
from projections.host import HostState, Projection, apply


class Deed(msgspec.Struct, frozen=True):
    """One committed transaction. arguments: those of its verb, None where it set out before what was looked at.

    position: of its outcome. recorded_at: likewise.
    """

    transaction: int
    verb: str
    arguments: tuple[str, ...] | None
    position: int
    recorded_at: str
    before: HostState
    after: HostState

    @property
    def asked(self) -> frozenset[Request]:
        """The requests that it added, whether or not the base of the moment has them."""
        return frozenset(self.after.wanted) - frozenset(self.before.wanted)

    @property
    def taken_back(self) -> frozenset[Request]:
        """The requests that it removed."""
        return frozenset(self.before.wanted) - frozenset(self.after.wanted)

    @property
    def brought(self) -> frozenset[Package]:
        """The layered packages that it added, or put in the place of others."""
        return frozenset(self.after.packages) - frozenset(self.before.packages)

    @property
    def moved_base(self) -> bool:
        """Whether the host follows another refspec since, or another commit of it, or is pinned or no longer so."""
        return self.before.base != self.after.base

    @property
    def moved_versions_alone(self) -> bool:
        """Whether it changed neither requests nor base."""
        return not (self.asked or self.taken_back or self.moved_base)


def deeds(events: Iterable[Event], start: Projection) -> Iterator[Deed]:
    """The committed transactions among these events, in the order in which they took effect.

    start: the projection before the first of them.

    Raises:
        EventNotUnderstood: see `projections.host.fold`.
    """
    projection = start
    begun: dict[str, TransactionStarted] = {}
    for event in events:
        before = projection.host or HostState()
        verbs = {each.uuid: each.verb for each in projection.open}
        projection = apply(projection, event)
        if isinstance(event.payload, TransactionStarted):
            begun[event.transaction_uuid] = event.payload
        elif isinstance(event.payload, TransactionCommitted):
            known = begun.get(event.transaction_uuid)
            yield Deed(
                transaction=event.transaction,
                verb=verbs[event.transaction_uuid],
                arguments=known.arguments if known else None,
                position=event.position,
                recorded_at=event.recorded_at,
                before=before,
                after=projection.host or HostState(),
            )
