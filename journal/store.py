"""The append-only store: one SQLite file, readable without write permission, and the only place that opens it.

Rollback-journal mode with synchronous=EXTRA: what `append` returned is on the disk. Writers take BEGIN IMMEDIATE, so
that a tail which was read stays the tail until the append is done.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from journal.codec import decode, encode
from journal.errors import (
    EventRefused,
    JournalForeign,
    JournalMissing,
    JournalNotWritable,
    JournalTooNew,
    UnexpectedPosition,
    as_root,
)
from journal.events import Event, Payload, TransactionStarted
from journal.file import connect, connect_to_read, create, require_room, told_as_errors
from journal.reader import IS_OUTCOME, Reader
from journal.values import Context

if TYPE_CHECKING:
    from journal.checkpoints import Checkpoint
    from journal.notes import SignerKey

APPLICATION_ID = 0x4C617972  # "Layr"
SCHEMA_VERSION = 4
KEPT_FRACTION = 64
SNAPSHOTS_APART = 1000
_EDGE_AT_MOST = 512


class Draft(msgspec.Struct, frozen=True):
    """An event on its way into the journal.

    event_id: UUIDv7; appending the same draft again changes nothing. recorded_at: RFC 3339, UTC, nanoseconds.
    """

    event_id: str
    transaction_uuid: str
    recorded_at: str
    context: Context
    payload: Payload


class Journal(Reader):
    """The journal of one stateroot, open for reading or for appending."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._signer: SignerKey | None = None
        self._edge: dict[tuple[int, int], bytes] = {}
        self._kept_size = 0

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open for reading. Nothing is written, but that SQLite rolls back what a crashed writer left half done.

        Raises:
            JournalMissing: there is none. JournalForeign, JournalTooNew, JournalCorrupt: it can't be used.
        """
        if not path.exists():
            raise JournalMissing(f"No journal at {path}: nothing was recorded on this host yet")
        journal = cls(path, connect_to_read(path))
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
            raise JournalNotWritable(
                f"The journal {path} is not writable",
                hint=as_root() or "It is read-only, immutable or on such a mount.",
            )
        journal = cls(path, connect(path, "rw"))
        with told_as_errors(path):
            if (version := journal._check()) < 1:
                raise JournalForeign(f"{path} is not a journal of layer's: no journal has schema version {version}")
            journal._leave_wal()
            if version < SCHEMA_VERSION:
                journal._migrate()
            # EXTRA also syncs the directory after the rollback journal is gone: an acknowledged event stays.
            journal._connection.execute("PRAGMA synchronous = EXTRA")
        return journal

    # Appending

    def append(self, drafts: Sequence[Draft], *, expected_position: int | None = None) -> list[Event]:
        """Append the events, all or none, durably.

        `TransactionStarted` takes the next transaction number; every other event belongs to a transaction that was
        started before and has no outcome yet. Drafts that are all stored already are returned as they were stored.

        Raises:
            JournalNotWritable: a transaction is to start, and there is no room for what it will have to record.
            UnexpectedPosition: `expected_position` is given and is not the tail.
            EventRefused: an event of an unknown or finished transaction, or an id that is taken.
        """
        from journal import merkle

        if any(isinstance(draft.payload, TransactionStarted) for draft in drafts):
            require_room(self.path)
        with told_as_errors(self.path), self._immediate():
            stored = [event for draft in drafts if (event := self._find(draft.event_id))]
            if stored:
                return self._unless_different(stored, drafts)
            position, last_number = self._tail()
            if expected_position is not None and position != expected_position:
                raise UnexpectedPosition(f"The journal is at position {position}, not at {expected_position}")
            events = []
            for next_position, draft in enumerate(drafts, position + 1):
                number = self._transaction_number(draft, last_number)
                last_number = max(last_number, number)
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
                    merkle.completed_by(next_position - 1, merkle.leaf_hash(record.encode()), self._edge_node),
                )
                events.append(decode(record))
            self._sign_head(position + len(drafts))
            return events

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a signed head, and let it be the head where none is newer."""
        with told_as_errors(self.path), self._immediate():
            self._connection.execute("INSERT INTO checkpoints (note) VALUES (?)", (str(checkpoint),))
            if self.position == checkpoint.size:
                self._renew_head(str(checkpoint))

    def update_search(self) -> bool:
        """Take into the search what has ended since this was last done, and so what a crash kept out of it.

        It is no part of `append`: an index that auditors search in must neither delay nor stop what is recorded. One
        that is too damaged to take anything in is made anew. Returns whether that was done.
        """
        from journal import search

        with told_as_errors(self.path):
            try:
                self._take_in(search.ended)
            except sqlite3.DatabaseError as error:
                if not search.is_damage(error):
                    raise
                self._take_in(search.made_anew)
                return True
        return False

    def save_snapshot(self, projection: str, position: int, state: str) -> None:
        """Keep a projection's state at a position, instead of any earlier one within the same thousand positions."""
        first = position // SNAPSHOTS_APART * SNAPSHOTS_APART
        with told_as_errors(self.path), self._immediate():
            self._connection.execute(
                "DELETE FROM snapshots WHERE projection = ? AND position >= ? AND position < ?",
                (projection, first, first + SNAPSHOTS_APART),
            )
            self._connection.execute(
                "INSERT INTO snapshots (projection, position, state) VALUES (?, ?, ?)",
                (projection, position, state),
            )

    # Within

    def _take_in(self, ended: Callable[[sqlite3.Connection], list[int]]) -> None:
        """Take into the search these transactions, some at a time, so that no append waits for the others too."""
        from journal import search

        with self._immediate():
            numbers = ended(self._connection)
            search.take_in(self._connection, numbers[: search.AT_ONCE])
        for first in range(search.AT_ONCE, len(numbers), search.AT_ONCE):
            with self._immediate():
                search.take_in(self._connection, numbers[first : first + search.AT_ONCE])

    def _sign_head(self, size: int) -> None:
        """Sign the head where there is a key for it. Heads are kept so closely that two differ by 1/64 of the history.

        A key of another log signs nothing here: `audit checkpoint` and `audit verify` tell of it.
        """
        from journal import keys, merkle
        from journal.checkpoints import origin_of, text_of

        signer = self._signer = self._signer or keys.load_signer(self.path)
        if signer is None or signer.name != origin_of(self._edge_node(0, 0)):
            return
        note = str(signer.sign(text_of(signer.name, size, merkle.root_hash(size, self._edge_node))))
        self._renew_head(note)
        if size - self._kept_size > size // KEPT_FRACTION:  # looked up where it may be so: others keep heads too
            self._kept_size = self._number("SELECT size FROM checkpoints ORDER BY number DESC LIMIT 1")
            if size - self._kept_size > size // KEPT_FRACTION:
                self._connection.execute("INSERT INTO checkpoints (note) VALUES (?)", (note,))

    def _edge_node(self, level: int, index: int) -> bytes:
        """As `node`, looked up once: of those at the right edge of the tree most are asked for by each append."""
        key = level, index
        if key not in self._edge:
            if len(self._edge) > _EDGE_AT_MOST:
                self._edge.clear()
            self._edge[key] = self.node(level, index)
        return self._edge[key]

    def _renew_head(self, note: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO head (id, note) VALUES (1, ?)", (note,))

    def _leave_wal(self) -> None:
        """Back to a rollback journal, where another tool left WAL: that can't be read without write permission."""
        with contextlib.suppress(sqlite3.OperationalError):  # somebody reads: it serves as it is until then
            self._connection.execute("PRAGMA journal_mode = DELETE")

    def _migrate(self) -> None:
        """Bring the file up to the present schema, once, whoever comes first."""
        from journal.schema import migrate

        with self._immediate():
            if self._check() < SCHEMA_VERSION:
                migrate(self._connection)

    def _check(self) -> int:
        """The schema version of the file, after checking that it is a journal of a version we know."""
        application = self._number("PRAGMA application_id")
        version = self._number("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise JournalForeign(
                f"{self.path} is not a journal of layer's: application_id is {application:#x}, not {APPLICATION_ID:#x}"
            )
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
            self._edge.clear()  # a node may be among them that was just taken back
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

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

    def _tail(self) -> tuple[int, int]:
        """Position of the last event, and number of the last transaction; 0 where there is none."""
        position, number = self._connection.execute(
            "SELECT (SELECT max(position) FROM events), (SELECT max(transaction_number) FROM events)"
        ).fetchone()
        return position or 0, number or 0

    def _transaction_number(self, draft: Draft, last: int) -> int:
        """The number of the draft's transaction, which is to be open. last: that of the last transaction of all.

        The outcomes since its start are looked at, which are few, rather than its own events, which may be large.
        """
        row = self._connection.execute(
            "SELECT transaction_number, EXISTS (SELECT 1 FROM events o INDEXED BY events_type"
            f" WHERE o.{IS_OUTCOME} AND o.position > s.position AND +o.transaction_number = s.transaction_number)"
            " FROM events s WHERE transaction_uuid = ? ORDER BY rowid LIMIT 1",
            (draft.transaction_uuid,),
        ).fetchone()
        if isinstance(draft.payload, TransactionStarted):
            if row is not None:
                raise EventRefused(f"Transaction {draft.transaction_uuid} was started before")
            return last + 1
        if row is None:
            raise EventRefused(f"Transaction {draft.transaction_uuid} was never started")
        number, ended = row
        if ended:
            raise EventRefused(f"Transaction {number} has its outcome already")
        return int(number)
