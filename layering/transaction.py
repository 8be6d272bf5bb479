"""The bracket that every transaction goes through: intent first, outcome before success is told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from journal.credentials import without_credentials
from journal.errors import LayerError
from journal.events import OUTCOMES, Event, Payload, TransactionFailed, TransactionRefused, TransactionStarted
from journal.identifiers import Clock, timestamp, uuid7
from journal.store import Draft, Journal
from journal.values import Context, Summary
from layering.errors import Refused
from layering.logs import log
from projections import points
from projections.errors import NoSuchPoint
from projections.host import HostState
from projections.transactions import Transaction, tell


class Invocation(msgspec.Struct, frozen=True):
    """A changing verb as it was called. options: those that were given, by name; message: the administrator's own."""

    verb: str
    arguments: tuple[str, ...] = ()
    options: dict[str, str] = {}
    message: str | None = None


class Recorder:
    """Appends the events of one process to the journal of its stateroot."""

    def __init__(self, path: Path, context: Context, clock: Clock) -> None:
        self.journal = Journal.open_for_append(path)
        self._context = context
        self._clock = clock

    def new_transaction(self) -> str:
        """UUID for a transaction that is about to start."""
        return uuid7(self._clock())

    def started(self, invocation: Invocation, state: HostState | None) -> TransactionStarted:
        """The event that opens a transaction, to be recorded."""
        return TransactionStarted(
            verb=invocation.verb,
            arguments=tuple(without_credentials(each) for each in invocation.arguments),
            options={name: without_credentials(value) for name, value in invocation.options.items()},
            message=None if invocation.message is None else without_credentials(invocation.message),
            pid=os.getpid(),
            before=state.summary if state else Summary(),
        )

    def record(self, uuid: str, *payloads: Payload, expected_position: int | None = None) -> list[Event]:
        """Append these events of one transaction, all or none, durably. What has ended is in the search then."""
        events = self.journal.append(self._drafts(uuid, payloads), expected_position=expected_position)
        if any(isinstance(each, OUTCOMES) for each in payloads):
            self.update_search()
        return events

    def told(self, uuid: str) -> Transaction:
        """A transaction of which something was recorded, as far as it has come."""
        return tell(points.events_of(self.journal, self.journal.number_of(uuid) or 0))

    def update_search(self) -> None:
        """Take into the search what has ended, and what a crash or a lock kept out of it before."""
        try:
            if self.journal.update_search():
                log.warning("search made anew: it was damaged")
        except LayerError as error:  # what happened is recorded: `audit verify` names what the search lacks
            log.warning("search not updated", error=error.message)

    def _drafts(self, uuid: str, payloads: Sequence[Payload]) -> list[Draft]:
        drafts = []
        for payload in payloads:
            now = self._clock()
            drafts.append(Draft(uuid7(now), uuid, timestamp(now), self._context, payload))
        return drafts


def outcome_of(error: BaseException) -> TransactionRefused | TransactionFailed:
    """How a transaction that ended with this error is recorded."""
    if isinstance(error, Refused | NoSuchPoint):
        return TransactionRefused(error.id, error.message)
    if isinstance(error, LayerError):
        return TransactionFailed(error.id, error.message)
    return TransactionFailed("internal-error", without_credentials(f"{type(error).__name__}: {error}"))
