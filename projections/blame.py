"""For each layered package the transaction that brought it, and why it is there: what `layer blame` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from journal.events import DeploymentObserved, Event, LayerCommitted, TransactionCommitted, TransactionStarted
from journal.store import Journal
from journal.values import Package
from projections import points
from projections.host import HostState
from projections.packages import is_named
from projections.transactions import events_backwards, person

_Key = tuple[str, str | None]


class Blamed(msgspec.Struct, frozen=True):
    """One layered package. The keys of `layer blame --json`.

    package: its NEVRA. transaction: the last one that brought this very package, where it was not before; user: on
    whose word; since: the instant of its outcome. requested: whether it is there for a request's sake.
    required_by: NEVRAs of the layered packages that need it, sorted. verb: of the transaction.
    """

    package: str
    transaction: int
    user: str
    requested: bool
    required_by: tuple[str, ...]
    since: str
    verb: str


def blame(journal: Journal, position: int | None = None) -> list[Blamed]:
    """Every layered package of the state at a position, by default at the end; sorted by NEVRA.

    A package that nothing else needs was asked for: by its name, or by a capability or a path.
    """
    state = points.at(journal, position).host or HostState()
    found = []
    for package, outcome, verb in _bringers(journal, state, position):
        required_by = state.required_by.get(package.nevra, ())
        found.append(
            Blamed(
                package=package.nevra,
                transaction=outcome.transaction,
                user=person(outcome.actor),
                requested=is_named(package, state.requested) or not required_by,
                required_by=required_by,
                since=outcome.recorded_at,
                verb=verb,
            )
        )
    return sorted(found, key=lambda each: each.package)


def _bringers(journal: Journal, state: HostState, position: int | None) -> Iterator[tuple[Package, Event, str]]:
    """Each layered package, the outcome of the transaction that brought it, and that one's verb.

    Read from the newest transaction backwards, and no further than needed.
    """
    until = journal.position if position is None else position
    sought = {_key(each): each for each in state.packages}
    for events in events_backwards(journal, journal.transactions_by(until)):
        if not sought:
            return
        started, outcome = events[0].payload, events[-1]
        verb = started.verb if isinstance(started, TransactionStarted) else ""
        if not isinstance(outcome.payload, TransactionCommitted) or outcome.position > until:
            continue
        for key in _brought(journal, events):
            if package := sought.pop(key, None):
                yield package, outcome, verb


def _brought(journal: Journal, events: Iterable[Event]) -> Iterator[_Key]:
    """The packages that are layered since these events of one transaction."""
    for event in events:
        match event.payload:
            case LayerCommitted() as layer:
                yield from map(_key, (*layer.added, *(each.new for each in (*layer.upgraded, *layer.downgraded))))
            case DeploymentObserved() as observed:
                before = points.at(journal, event.position - 1).host or HostState()
                yield from sorted({*map(_key, observed.packages)} - {*map(_key, before.packages)}, key=str)


def _key(package: Package) -> _Key:
    return package.nevra, package.sha256
