"""What came of a changing verb, for whoever tells it."""

from __future__ import annotations

import msgspec

from journal.events import OUTCOMES, JournalReplayed, Payload, TransactionPrepared, TransactionStarted
from journal.store import Journal
from layering.plan import after
from projections import points
from projections.host import HostState
from projections.transactions import Transaction, tell

_BRACKET = (TransactionStarted, JournalReplayed, TransactionPrepared, *OUTCOMES)


class Result(msgspec.Struct, frozen=True):
    """What came of a changing verb. transaction: None for a dry run, which is not recorded.

    changes: the events that it recorded, or would have. staged: whether the deployment waits for the next boot.
    notes: what the administrator should hear of, one sentence each.
    """

    before: HostState
    state: HostState
    changes: tuple[Payload, ...]
    transaction: Transaction | None
    message: str | None = None
    notes: tuple[str, ...] = ()
    staged: bool = False
    deployed: bool = False


def as_recorded(journal: Journal, uuid: str, before: HostState) -> Result:
    """The result of a transaction, from what the journal has of it."""
    told = points.events_of(journal, journal.number_of(uuid) or 0)
    payloads = [event.payload for event in told]
    changes = tuple(dict.fromkeys(each for each in payloads if not isinstance(each, _BRACKET)))
    prepared = next((each for each in payloads if isinstance(each, TransactionPrepared)), None)
    transaction = tell(told)
    return Result(
        before,
        after(before, changes),
        changes,
        transaction,
        message=transaction.note,
        staged=prepared is not None and prepared.staged,
        deployed=prepared is not None,
    )
