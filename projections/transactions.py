"""One transaction, told from its own events alone: what `layer history` and `layer show` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from journal.events import (
    BaseChanged,
    Event,
    LayerCommitted,
    RequestsChanged,
    TransactionCommitted,
    TransactionFailed,
    TransactionInterrupted,
    TransactionRefused,
    TransactionStarted,
    TransactionUnchanged,
)
from journal.reader import Reader
from journal.values import Actor, Request
from projections.host import HostState, evolve, names

_AT_ONCE = 64
"""Transactions that are read before any of them is looked at, where many are."""


class Failure(msgspec.Struct, frozen=True):
    """Why a transaction failed or was refused. kind: the error's id."""

    kind: str
    message: str


class Transaction(msgspec.Struct, frozen=True):
    """One invocation of a changing verb: who, when, what, and how it ended. The keys of `layer history --json`.

    outcome: committed, failed, refused, interrupted, unchanged or running. refspec … requested: the state that it
    left, which is the state that it found unless it was committed. added … downgraded: of the layered set.
    absorbed, reinstated: requests that the base came to provide, or no longer does. base_added, base_removed: how the
    base's own packages differ.
    """

    transaction: int
    uuid: str
    verb: str
    arguments: tuple[str, ...]
    outcome: str
    recovered: bool
    started_at: str
    finished_at: str | None
    actor: Actor
    command_line: str
    message: str | None
    refspec: str | None
    base_commit: str | None
    layered_commit: str | None
    requested: tuple[str, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    upgraded: tuple[tuple[str, str], ...] = ()
    downgraded: tuple[tuple[str, str], ...] = ()
    error: Failure | None = None
    options: dict[str, str] = {}
    note: str | None = None
    deployment: str | None = None
    absorbed: tuple[str, ...] = ()
    reinstated: tuple[str, ...] = ()
    base_added: tuple[str, ...] = ()
    base_removed: tuple[str, ...] = ()


_OUTCOMES: dict[type, str] = {
    TransactionCommitted: "committed",
    TransactionFailed: "failed",
    TransactionRefused: "refused",
    TransactionInterrupted: "interrupted",
    TransactionUnchanged: "unchanged",
}


def tell(events: Sequence[Event]) -> Transaction:
    """The transaction that these events, all of one transaction and in order, are."""
    first, last = events[0], events[-1]
    started = first.payload
    if not isinstance(started, TransactionStarted):
        started = TransactionStarted(verb="unknown")
    outcome = last.payload if type(last.payload) in _OUTCOMES else None
    committed = isinstance(outcome, TransactionCommitted)
    before = started.before
    state = HostState(
        before.refspec,
        before.base_commit,
        requested=tuple(Request(spec) for spec in before.requested),
        layered_commit=before.layered_commit,
    )
    changes: dict[str, Any] = {}
    if committed:
        for event in events:
            if isinstance(event.payload, LayerCommitted):
                commit = event.payload.commit
                state = msgspec.structs.replace(
                    state, layered_commit=commit if commit != event.payload.base_commit else None
                )
            else:
                state = evolve(state, event.payload)
        changes = changes_of(event.payload for event in events)
    error = outcome if isinstance(outcome, TransactionFailed | TransactionRefused) else None
    return Transaction(
        transaction=first.transaction,
        uuid=first.transaction_uuid,
        verb=started.verb,
        arguments=started.arguments,
        outcome="running" if outcome is None else _OUTCOMES[type(outcome)],
        recovered=isinstance(outcome, TransactionCommitted) and outcome.recovered,
        started_at=first.recorded_at,
        finished_at=None if outcome is None else last.recorded_at,
        actor=first.actor,
        command_line=first.command_line,
        message=started.message,
        refspec=state.refspec,
        base_commit=state.base_commit,
        layered_commit=state.layered_commit,
        requested=names(state.requested),
        **changes,
        error=Failure(error.kind, error.message) if error else None,
        options=started.options,
        note=outcome.message if isinstance(outcome, TransactionUnchanged) else None,
        deployment=outcome.deployment if isinstance(outcome, TransactionCommitted) else None,
    )


def events_backwards(journal: Reader, last: int) -> Iterator[list[Event]]:
    """The events of each transaction up to number `last`, the newest transaction first; read no further than asked."""
    while last > 0:
        first = max(1, last - _AT_ONCE + 1)
        events = journal.transaction_events(first, last)
        yield from reversed([list(group) for _, group in groupby(events, key=lambda event: event.transaction)])
        last = first - 1


def person(actor: Actor) -> str:
    """On whose word it was, in a word: the user behind sudo or pkexec, the login, or the process's own."""
    return actor.invoked_by or actor.login_user or actor.user or str(actor.uid)


def changes_of(payloads: Iterable[object]) -> dict[str, Any]:
    """What these change of packages and requests, by the names that a `Transaction` has for it; NEVRAs sorted."""
    changes: dict[str, Any] = {}
    for payload in payloads:
        changes |= _changes_of(payload)
    return changes


def _changes_of(payload: object) -> dict[str, Any]:
    match payload:
        case LayerCommitted():
            return {
                "added": tuple(sorted(package.nevra for package in payload.added)),
                "removed": tuple(sorted(package.nevra for package in payload.removed)),
                "upgraded": tuple(sorted((each.old.nevra, each.new.nevra) for each in payload.upgraded)),
                "downgraded": tuple(sorted((each.old.nevra, each.new.nevra) for each in payload.downgraded)),
            }
        case RequestsChanged():
            return {"absorbed": names(payload.absorbed), "reinstated": names(payload.reinstated)}
        case BaseChanged():
            return {"base_added": payload.packages_added, "base_removed": payload.packages_removed}
        case _:
            return {}
