"""The append-only store: one SQLite file, readable without write permission, and the only place that opens it.

Rollback-journal mode with synchronous=EXTRA: what `append` returned is on the disk. Writers take BEGIN IMMEDIATE, so
that a tail which was read stays the tail until the append is done.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from journal import merkle
from journal.codec import decode, encode
from journal.errors import (
    EventRefused,
    JournalCorrupt,
    JournalForeign,
    JournalMissing,
    JournalNotWritable,
    JournalTooNew,
    UnexpectedPosition,
)
from journal.events import OUTCOMES, Context, Event, Payload, TransactionStarted
from journal.file import connect, create, told_as_errors

APPLICATION_ID = 0x4C617972  # "Layr"
SCHEMA_VERSION = 3

_OUTCOME_TYPES = tuple(outcome.TYPE for outcome in OUTCOMES)
# Spelled out, so that SQLite recognises the condition of the partial index.
_IS_OUTCOME = "type IN ({})".format(", ".join(f"'{name}'" for name in _OUTCOME_TYPES))


class Draft(msgspec.Struct, frozen=True):
    """An event on its way into the journal.

    event_id: UUIDv7; appending the same draft again changes nothing. recorded_at: RFC 3339, UTC, nanoseconds.
    """

    event_id: str
    transaction_uuid: str
    recorded_at: str
    context: Context
    payload: Payload


class Journal:
    """The journal of one stateroot, open for reading or for appending."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open for reading. Nothing is written, but that SQLite rolls back what a crashed writer left half done.

        Raises:
            JournalMissing: there is none. JournalForeign, JournalTooNew, JournalCorrupt: it can't be used.
        """
        if not path.exists():
            raise JournalMissing(f"No journal at {path}: nothing was recorded on this host yet")
        mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
        journal = cls(path, connect(path, mode))
        with told_as_errors(path):
            journal._connection.execute("PRAGMA query_only = ON")
            journal._check()
        return journal

    @classmethod
    def open_for_append(cls, path: Path) -> Journal:
        """Open for appending; created where there is none, whole or not at all.

        Raises:
            JournalNotWritable: the file or its directory can't be written. And what `open` raises.
        """
        if not path.exists():
            create(path)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            raise JournalNotWritable(f"The journal {path} is not writable", hint="Run the command as root.")
        journal = cls(path, connect(path, "rw"))
        with told_as_errors(path):
            if journal._check() < SCHEMA_VERSION:
                from journal.schema import migrate

                migrate(journal._connection)
            # EXTRA also syncs the directory after the rollback journal is gone: an acknowledged event stays.
            journal._connection.execute("PRAGMA synchronous = EXTRA")
        return journal

    def close(self) -> None:
        self._connection.close()

    # Appending

    def append(self, drafts: Sequence[Draft], *, expected_position: int | None = None) -> list[Event]:
        """Append the events, all or none, durably.

        `TransactionStarted` takes the next transaction number; every other event belongs to a transaction that was
        started before and has no outcome yet. Drafts that are all stored already are returned as they were stored.

        Raises:
            UnexpectedPosition: `expected_position` is given and is not the tail.
            EventRefused: an event of an unknown or finished transaction, or an id that is taken.
        """
        with told_as_errors(self.path), self._immediate():
            stored = [event for draft in drafts if (event := self._find(draft.event_id))]
            if stored:
                return self._unless_different(stored, drafts)
            position = self.position
            if expected_position is not None and position != expected_position:
                raise UnexpectedPosition(f"The journal is at position {position}, not at {expected_position}")
            events = []
            for next_position, draft in enumerate(drafts, position + 1):
                number = self._transaction_number(draft)
                record = encode(
                    draft.payload,
                    position=next_position,
                    event_id=draft.event_id,
                    transaction=number,
                    transaction_uuid=draft.transaction_uuid,
                    recorded_at=draft.recorded_at,
                    context=draft.context,
                )
                self._connection.execute("INSERT INTO events (record) VALUES (?)", (record,))
                self._connection.executemany(
                    "INSERT INTO nodes (level, idx, hash) VALUES (?, ?, ?)",
                    merkle.completed_by(next_position - 1, merkle.leaf_hash(record.encode()), self._node),
                )
                events.append(decode(record))
            return events

    def save_snapshot(self, projection: str, position: int, state: str) -> None:
        """Keep a projection's state at a position, instead of any earlier one within the same thousand positions."""
        with told_as_errors(self.path), self._immediate():
            self._connection.execute(
                "DELETE FROM snapshots WHERE projection = ? AND position / 1000 = ? / 1000",
                (projection, position),
            )
            self._connection.execute(
                "INSERT INTO snapshots (projection, position, state) VALUES (?, ?, ?)",
                (projection, position, state),
            )

    # Reading

    @property
    def position(self) -> int:
        """Position of the last event, 0 where there is none."""
        return self._number("SELECT max(position) FROM events")

    @property
    def transactions(self) -> int:
        """Number of the last transaction, 0 where there is none."""
        return self._number("SELECT max(transaction_number) FROM events")

    @property
    def root_hash(self) -> bytes:
        """RFC 6962 root over all records, 32 bytes."""
        return self.root_hash_at(self.position)

    def root_hash_at(self, position: int) -> bytes:
        """RFC 6962 root over the records up to a position, 32 bytes."""
        with told_as_errors(self.path):
            return merkle.root_hash(position, self._node)

    def transactions_by(self, position: int) -> int:
        """How many transactions had been started by a position."""
        with told_as_errors(self.path):
            (number,) = self._connection.execute(
                "SELECT max(transaction_number) FROM"
                " (SELECT transaction_number FROM events WHERE position <= ? ORDER BY position DESC LIMIT 64)",
                (position,),
            ).fetchone()
        return int(number or 0)

    def events(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        """Events with after < position <= until, in order."""
        last = self.position if until is None else until
        return self._select("position > ? AND position <= ? ORDER BY position", (after, last))

    def transaction_events(self, first: int, last: int) -> Iterator[Event]:
        """Events of the transactions first..last, in the order of transactions, then of positions."""
        return self._select("transaction_number BETWEEN ? AND ? ORDER BY transaction_number, position", (first, last))

    def number_of(self, uuid: str) -> int | None:
        """Number of the transaction with this UUID, None where there is none."""
        with told_as_errors(self.path):
            (number,) = self._connection.execute(
                "SELECT max(transaction_number) FROM events WHERE transaction_uuid = ?", (uuid,)
            ).fetchone()
        return None if number is None else int(number)

    def deployed_in(self, deployment: str) -> int | None:
        """Number of the transaction that ended with this deployment (STATEROOT-COMMIT.SERIAL), None for no one's."""
        with told_as_errors(self.path):
            row = self._connection.execute(
                "SELECT transaction_number FROM events WHERE type = 'transaction-committed'"
                " AND json_extract(record, '$.payload.deployment') = ? ORDER BY position DESC LIMIT 1",
                (deployment,),
            ).fetchone()
        return None if row is None else int(row[0])

    def end_of(self, transaction: int) -> int | None:
        """Position of the outcome of a transaction, None where it has none or does not exist."""
        with told_as_errors(self.path):
            (position,) = self._connection.execute(
                f"SELECT max(position) FROM events WHERE transaction_number = ? AND +{_IS_OUTCOME}",
                (transaction,),
            ).fetchone()
        return None if position is None else int(position)

    def end_by(self, instant: str) -> int | None:
        """Position of the last outcome recorded by that instant (as `timestamp` writes it), None before the first."""
        with told_as_errors(self.path):
            row = self._connection.execute(
                f"SELECT position FROM events WHERE recorded_at <= ? AND {_IS_OUTCOME}"
                " ORDER BY recorded_at DESC, position DESC LIMIT 1",
                (instant,),
            ).fetchone()
        return None if row is None else int(row[0])

    def records(self, after: int = 0, until: int | None = None) -> Iterator[tuple[int, str]]:
        """Position and stored text of the events with after < position <= until, in order."""
        last = self.position if until is None else until
        with told_as_errors(self.path):
            yield from self._connection.execute(
                "SELECT position, record FROM events WHERE position > ? AND position <= ? ORDER BY position",
                (after, last),
            )

    def copy_to(self, path: Path) -> None:
        """Copy the whole journal into a new file, as it is at one moment: records, tree, views and search.

        Raises:
            JournalNotWritable: there is a file already, or it can't be written.
        """
        with told_as_errors(path):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.close(descriptor)
            copy = connect(path, "rw")
            try:
                self._connection.backup(copy)
            finally:
                copy.close()

    def snapshot(self, projection: str, at_most: int) -> tuple[int, str] | None:
        """The newest kept state of a projection at or before a position."""
        with told_as_errors(self.path):
            row = self._connection.execute(
                "SELECT position, state FROM snapshots WHERE projection = ? AND position <= ?"
                " ORDER BY position DESC LIMIT 1",
                (projection, at_most),
            ).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    # Within

    def _check(self) -> int:
        """The schema version of the file, after checking that it is a journal of a version we know."""
        application = self._number("PRAGMA application_id")
        version = self._number("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise JournalForeign(f"{self.path} is not a journal of layer's")
        if version > SCHEMA_VERSION:
            raise JournalTooNew(
                f"{self.path} has schema version {version}; this version of layer knows up to {SCHEMA_VERSION}",
                hint="Use the version of layer that wrote it, or a later one.",
            )
        return version

    @contextlib.contextmanager
    def _immediate(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _number(self, query: str) -> int:
        with told_as_errors(self.path):
            (value,) = self._connection.execute(query).fetchone()
        return int(value or 0)

    def _node(self, level: int, index: int) -> bytes:
        row = self._connection.execute("SELECT hash FROM nodes WHERE level = ? AND idx = ?", (level, index)).fetchone()
        if row is None:
            raise JournalCorrupt(f"{self.path}: the hash of node ({level}, {index}) is missing")
        return bytes(row[0])

    def _select(self, condition: str, values: tuple[int, ...]) -> Iterator[Event]:
        with told_as_errors(self.path):
            for (record,) in self._connection.execute(f"SELECT record FROM events WHERE {condition}", values):
                yield decode(record)

    def _find(self, event_id: str) -> Event | None:
        row = self._connection.execute("SELECT record FROM events WHERE event_id = ?", (event_id,)).fetchone()
        return None if row is None else decode(row[0])

    def _unless_different(self, stored: list[Event], drafts: Sequence[Draft]) -> list[Event]:
        same = len(stored) == len(drafts) and all(
            (event.transaction_uuid, event.recorded_at, event.payload)
            == (draft.transaction_uuid, draft.recorded_at, draft.payload)
            for event, draft in zip(stored, drafts, strict=True)
        )
        if not same:
            raise EventRefused(f"Event {stored[0].event_id} is stored already, with other content")
        return stored

    def _transaction_number(self, draft: Draft) -> int:
        number, ended = self._connection.execute(
            f"SELECT max(transaction_number), sum({_IS_OUTCOME}) FROM events WHERE transaction_uuid = ?",
            (draft.transaction_uuid,),
        ).fetchone()
        if isinstance(draft.payload, TransactionStarted):
            if number is not None:
                raise EventRefused(f"Transaction {draft.transaction_uuid} was started before")
            return self.transactions + 1
        if number is None:
            raise EventRefused(f"Transaction {draft.transaction_uuid} was never started")
        if ended:
            raise EventRefused(f"Transaction {number} has its outcome already")
        return int(number)
