"""The state of a host, folded from the events: `fold(events[:n])` is the state at position n.

What a transaction says takes effect with its `transaction-committed`, at once and whole; until then it is pending,
and any other outcome drops it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from journal.events import (
    OUTCOMES,
    BaseChanged,
    DeploymentObserved,
    DeploymentsDropped,
    Event,
    Fact,
    LayerCommitted,
    Package,
    Request,
    RequestsChanged,
    Summary,
    TransactionCommitted,
    TransactionPinned,
    TransactionPrepared,
    TransactionStarted,
    TransactionUnpinned,
    UnknownEvent,
)
from projections import origin
from projections.errors import EventNotUnderstood, EventOutOfPlace


class HostState(msgspec.Struct, frozen=True):
    """What the head deployment of the stateroot is, and why.

    refspec, base_commit, version: the base and its version string. pinned_base: until the next upgrade.
    requested: the active requests, sorted. absorbed: those that the base provides, sorted.
    base_packages: NEVRAs of the base, sorted.
    packages: the layered set, sorted. layered_commit: None where nothing is layered. layer_key: likewise, and content:
    what the layered commit is but for the rpmdb's bytes.
    required_by: NEVRA of each layered package that others need to the NEVRAs of those.
    deployment: STATEROOT-COMMIT.SERIAL of the head. deployed_by: UUID in its origin, None for a foreign one.
    transaction: number of the last committed transaction. origin_extra: what other tools keep in the origin.
    pinned: numbers of the transactions whose commits outlive every cleanup, sorted.
    """

    refspec: str | None = None
    base_commit: str | None = None
    version: str | None = None
    pinned_base: bool = False
    requested: tuple[Request, ...] = ()
    absorbed: tuple[Request, ...] = ()
    packages: tuple[Package, ...] = ()
    layered_commit: str | None = None
    layer_key: str | None = None
    deployment: str | None = None
    deployed_by: str | None = None
    transaction: int | None = None
    origin_extra: dict[str, dict[str, str]] = {}
    base_packages: tuple[str, ...] = ()
    required_by: dict[str, tuple[str, ...]] = {}
    pinned: tuple[int, ...] = ()
    content: str | None = None

    @property
    def commit(self) -> str | None:
        """The commit that is deployed: the layered one, else the base itself."""
        return self.layered_commit or self.base_commit

    @property
    def wanted(self) -> tuple[Request, ...]:
        """All that the administrator asked for, whether or not the base of the moment has it, sorted."""
        return tuple(sorted({*self.requested, *self.absorbed}))

    @property
    def base(self) -> tuple[str | None, str | None, bool]:
        """What decides on the base: refspec, commit, and whether it is pinned."""
        return self.refspec, self.base_commit, self.pinned_base

    @property
    def summary(self) -> Summary:
        """What a transaction records of the state that it sets out from."""
        return Summary(self.refspec, self.base_commit, self.layered_commit, names(self.requested))


class OpenTransaction(msgspec.Struct, frozen=True):
    """A transaction without an outcome. prepared: the commit that it was about to deploy, None before that.

    drops: ids of the deployments that it was about to take off the list. pins: id of the deployment that it was about
    to pin or to unpin in libostree, and which of them.
    """

    uuid: str
    number: int
    verb: str
    pid: int | None
    pending: HostState
    prepared: str | None = None
    drops: tuple[str, ...] = ()
    pins: tuple[str, bool] | None = None


class Projection(msgspec.Struct, frozen=True):
    """All that the journal says up to a position. host: None until the host was adopted."""

    position: int = 0
    host: HostState | None = None
    open: tuple[OpenTransaction, ...] = ()


NOTHING = Projection()


def fold(events: Iterable[Event | Fact], start: Projection = NOTHING) -> Projection:
    """The projection after these events.

    Raises:
        EventNotUnderstood: one of them is of a type or version that this version of layer does not know.
        EventOutOfPlace: the transaction of one is not under way.
    """
    position, host = start.position, start.host
    under_way = {transaction.uuid: transaction for transaction in start.open}
    for event in events:
        payload, uuid = event.payload, event.transaction_uuid
        if isinstance(payload, TransactionStarted):
            under_way[uuid] = OpenTransaction(uuid, event.transaction, payload.verb, payload.pid, host or HostState())
        elif isinstance(payload, UnknownEvent):
            raise EventNotUnderstood(
                f"Event {event.position} is of type {event.type!r} version {event.version},"
                " which this version of layer does not know",
                hint=f"It was written by layer {event.tool_version}; use that version or a later one.",
            )
        elif uuid not in under_way:
            raise EventOutOfPlace(
                f"Event {event.position} belongs to a transaction that is not under way at that point"
            )
        elif isinstance(payload, OUTCOMES):
            ended = under_way.pop(uuid)
            if isinstance(payload, TransactionCommitted):
                host = committed(ended, payload)
        else:
            under_way[uuid] = _going_on(under_way[uuid], payload)
        position = event.position
    return Projection(position, host, tuple(under_way.values()))


def apply(projection: Projection, event: Event | Fact) -> Projection:
    """The projection after one more event."""
    return fold((event,), projection)


def _going_on(current: OpenTransaction, payload: object) -> OpenTransaction:
    """What is known of an open transaction after one more of its events: its state to be, and its next step outside."""
    replace = msgspec.structs.replace
    if isinstance(payload, TransactionPrepared):
        return replace(current, prepared=payload.commit)
    if isinstance(payload, DeploymentsDropped):
        return replace(current, drops=payload.deployments)
    if isinstance(payload, TransactionPinned | TransactionUnpinned) and payload.deployment:
        current = replace(current, pins=(payload.deployment, isinstance(payload, TransactionPinned)))
    return replace(current, pending=evolve(current.pending, payload))


Change = DeploymentObserved | RequestsChanged | BaseChanged | LayerCommitted | TransactionPinned | TransactionUnpinned
"""The payloads that change the state of a host."""


def evolve(state: HostState, change: object) -> HostState:
    """The state after one change."""
    replace = msgspec.structs.replace
    match change:
        case RequestsChanged():
            requested = _with(state.requested, (*change.added, *change.reinstated))
            absorbed = _with(state.absorbed, change.absorbed)
            return replace(
                state,
                requested=_without(requested, (*change.removed, *change.absorbed)),
                absorbed=_without(absorbed, (*change.removed, *change.reinstated)),
            )
        case BaseChanged():
            return replace(
                state,
                refspec=change.refspec or None,
                base_commit=change.commit,
                version=change.version,
                pinned_base=change.pinned_base,
                base_packages=_without(_with(state.base_packages, change.packages_added), change.packages_removed),
            )
        case LayerCommitted():
            changes = (*change.upgraded, *change.downgraded)
            packages = _without(state.packages, (*change.removed, *(each.old for each in changes)))
            packages = _with(packages, (*change.added, *(each.new for each in changes)))
            return replace(
                state,
                packages=packages,
                layered_commit=change.commit if packages else None,
                layer_key=change.layer_key,
                required_by=change.required_by,
                content=change.content,
            )
        case DeploymentObserved():
            return HostState(
                refspec=change.refspec,
                base_commit=change.base_commit,
                version=change.version,
                pinned_base=change.pinned_base,
                requested=tuple(sorted(change.requested)),
                absorbed=tuple(sorted(change.absorbed)),
                packages=tuple(sorted(change.packages)),
                layered_commit=change.commit if change.commit != change.base_commit else None,
                layer_key=change.layer_key,
                deployment=change.deployment,
                deployed_by=change.transaction_uuid,
                transaction=state.transaction,
                origin_extra=origin.parse(change.origin).extra,
                base_packages=tuple(sorted(change.base_packages)),
                pinned=state.pinned,
                content=change.content,
            )
        case TransactionPinned():
            return replace(state, pinned=tuple(sorted({*state.pinned, change.transaction})))
        case TransactionUnpinned():
            return replace(state, pinned=tuple(sorted({*state.pinned} - {change.transaction})))
        case _:
            return state


def committed(transaction: OpenTransaction, outcome: TransactionCommitted) -> HostState:
    """The state once this transaction has taken effect."""
    state = msgspec.structs.replace(transaction.pending, transaction=transaction.number)
    if outcome.deployment is None or outcome.deployment == state.deployment:
        return state  # no new deployment, or one that was observed with the uuid that its origin has
    return msgspec.structs.replace(state, deployment=outcome.deployment, deployed_by=transaction.uuid)


_Sortable = TypeVar("_Sortable", str, Request, Package)


def _with(values: tuple[_Sortable, ...], more: Iterable[_Sortable]) -> tuple[_Sortable, ...]:
    """Sorted values and some more, each once. One by one: mostly they are few, and comparing or hashing all is dear."""
    merged = list(values)
    for value in more:
        place = bisect_left(merged, value)
        if place == len(merged) or merged[place] != value:
            merged.insert(place, value)
    return tuple(merged)


def _without(values: tuple[_Sortable, ...], gone: Iterable[_Sortable]) -> tuple[_Sortable, ...]:
    """Sorted values without some of them."""
    kept = list(values)
    for value in gone:
        place = bisect_left(kept, value)
        if place < len(kept) and kept[place] == value:
            del kept[place]
    return tuple(kept)


def names(requests: Iterable[Request]) -> tuple[str, ...]:
    """What was asked for, as people and origins name it, sorted."""
    return tuple(sorted(request.spec for request in requests))
