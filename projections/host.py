"""The state of a host, folded from the events: `fold(events[:n])` is the state at position n.

What a transaction says takes effect with its `transaction-committed`, at once and whole; until then it is pending,
and any other outcome drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from journal.events import (
    OUTCOMES,
    BaseChanged,
    DeploymentObserved,
    DeploymentsDropped,
    Event,
    Fact,
    LayerCommitted,
    Payload,
    RequestsChanged,
    TransactionCommitted,
    TransactionPinned,
    TransactionPrepared,
    TransactionStarted,
    TransactionUnpinned,
    UnknownEvent,
)
from journal.values import Package, Request, Summary
from projections import origin, sets
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
_NO_STATE = HostState()
_OUTCOMES = frozenset(OUTCOMES)


def fold(events: Iterable[Event | Fact], start: Projection = NOTHING) -> Projection:
    """The projection after these events.

    Raises:
        EventNotUnderstood: one of them is of a type or version that this version of layer does not know.
        EventOutOfPlace: the transaction of one is not under way.
    """
    position, host = start.position, start.host
    under_way = {transaction.uuid: transaction for transaction in start.open}
    for event in events:
        payload: Any = event.payload
        kind, uuid = type(payload), event.transaction_uuid
        if kind is TransactionStarted:
            under_way[uuid] = OpenTransaction(uuid, event.transaction, payload.verb, payload.pid, host or _NO_STATE)
        elif kind is UnknownEvent and isinstance(event, Event):
            raise _not_understood(event)
        elif (current := under_way.get(uuid)) is None:
            raise EventOutOfPlace(
                f"Event {event.position} belongs to a transaction that is not under way at that point"
            )
        elif kind in _OUTCOMES:
            del under_way[uuid]
            if kind is TransactionCommitted:
                host = committed(current, payload)
        else:
            under_way[uuid] = _going_on(current, payload)
        position = event.position
    return Projection(position, host, tuple(under_way.values()))


def apply(projection: Projection, event: Event | Fact) -> Projection:
    """The projection after one more event."""
    return fold((event,), projection)


def _going_on(current: OpenTransaction, payload: Payload) -> OpenTransaction:
    """What is known of an open transaction after one more of its events: its state to be, and its next step outside."""
    kind = type(payload)
    if change := _CHANGES.get(kind):
        current = replace(current, pending=change(current.pending, payload))
    if step := _STEPS.get(kind):
        current = step(current, payload)
    return current


def _about_to_pin(current: OpenTransaction, payload: TransactionPinned | TransactionUnpinned) -> OpenTransaction:
    pins = (payload.deployment, isinstance(payload, TransactionPinned)) if payload.deployment else current.pins
    return replace(current, pins=pins)


_STEPS: dict[type, Callable[[OpenTransaction, Any], OpenTransaction]] = {
    TransactionPrepared: lambda current, payload: replace(current, prepared=payload.commit),
    DeploymentsDropped: lambda current, payload: replace(current, drops=payload.deployments),
    TransactionPinned: _about_to_pin,
    TransactionUnpinned: _about_to_pin,
}


def evolve(state: HostState, change: object) -> HostState:
    """The state after one change; what is none of `Change` leaves it as it is."""
    step = _CHANGES.get(type(change))
    return step(state, change) if step else state


def _requests_changed(state: HostState, change: RequestsChanged) -> HostState:
    requested = sets.union(state.requested, change.added + change.reinstated)
    absorbed = sets.union(state.absorbed, change.absorbed)
    return replace(
        state,
        requested=sets.difference(requested, change.removed + change.absorbed),
        absorbed=sets.difference(absorbed, change.removed + change.reinstated),
    )


def _base_changed(state: HostState, change: BaseChanged) -> HostState:
    return replace(
        state,
        refspec=change.refspec or None,
        base_commit=change.commit,
        version=change.version,
        pinned_base=change.pinned_base,
        base_packages=sets.upgraded(state.base_packages, change.packages_added, change.packages_removed),
    )


def _layer_committed(state: HostState, change: LayerCommitted) -> HostState:
    added, gone = change.added, change.removed
    if changes := change.upgraded + change.downgraded:
        added, gone = (*added, *(each.new for each in changes)), (*gone, *(each.old for each in changes))
    packages = sets.union(sets.difference(state.packages, gone), added)
    return replace(
        state,
        packages=packages,
        layered_commit=change.commit if packages else None,
        layer_key=change.layer_key,
        required_by=change.required_by,
        content=change.content,
    )


def _deployment_observed(state: HostState, change: DeploymentObserved) -> HostState:
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


def _pinned(state: HostState, change: TransactionPinned) -> HostState:
    return replace(state, pinned=tuple(sorted({*state.pinned, change.transaction})))


def _unpinned(state: HostState, change: TransactionUnpinned) -> HostState:
    return replace(state, pinned=tuple(sorted({*state.pinned} - {change.transaction})))


_CHANGES: dict[type, Callable[[HostState, Any], HostState]] = {
    RequestsChanged: _requests_changed,
    BaseChanged: _base_changed,
    LayerCommitted: _layer_committed,
    DeploymentObserved: _deployment_observed,
    TransactionPinned: _pinned,
    TransactionUnpinned: _unpinned,
}


def committed(transaction: OpenTransaction, outcome: TransactionCommitted) -> HostState:
    """The state once this transaction has taken effect."""
    state = replace(transaction.pending, transaction=transaction.number)
    if outcome.deployment is None or outcome.deployment == state.deployment:
        return state  # no new deployment, or one that was observed with the uuid that its origin has
    return replace(state, deployment=outcome.deployment, deployed_by=transaction.uuid)


def _not_understood(event: Event) -> EventNotUnderstood:
    return EventNotUnderstood(
        f"Event {event.position} is of type {event.type!r} version {event.version},"
        " which this version of layer does not know",
        hint=f"It was written by layer {event.tool_version}; use that version or a later one.",
    )


def names(requests: Iterable[Request]) -> tuple[str, ...]:
    """What was asked for, as people and origins name it, sorted."""
    return tuple(sorted(request.spec for request in requests))
