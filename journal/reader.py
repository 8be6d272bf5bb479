"""Reading the journal: every question that is put to the file, each answered from an index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from journal.codec import decode, decode_facts
from journal.errors import JournalCorrupt
from journal.events import OUTCOMES, Event, Fact
from journal.file import connect, told_as_errors
from journal.stored import SINCE_CHECKPOINTS, Stored

_AT_ONCE = 256
"""Records that are read before any of them is looked at, where many are."""

# Spelled out, so that SQLite recognises the condition of the partial index.
IS_OUTCOME = "type IN ({})".format(", ".join(f"'{outcome.TYPE}'" for outcome in OUTCOMES))


class Reader(Stored):
    """A journal that is open, and what can be asked of it.

    Indexes are named where SQLite would take the one of types instead, and read far more.
    """

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
        from journal import merkle

        with told_as_errors(self.path):
            return merkle.root_hash(position, self.node)

    def transactions_by(self, position: int) -> int:
        """How many transactions had been started by a position."""
        with told_as_errors(self.path):
            (number,) = self._connection.execute(
                "SELECT max(transaction_number) FROM"
                " (SELECT transaction_number FROM events WHERE position <= ? ORDER BY position DESC LIMIT 64)"
                " WHERE transaction_number < ''",  # numbers come before texts
                (position,),
            ).fetchone()
        return int(number or 0)

    def events(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        """Events with after < position <= until, in order."""
        last = self.position if until is None else until
        return self._select("position > ? AND position <= ? ORDER BY position", (after, last))

    def facts(self, after: int = 0, until: int | None = None) -> Iterator[Fact | Event]:
        """The same, as much of them as a fold looks at."""
        last = self.position if until is None else until
        with told_as_errors(self.path):
            rows = self._connection.execute(
                "SELECT CAST(record AS BLOB) FROM events WHERE position > ? AND position <= ? ORDER BY position",
                (after, last),
            )
            while some := rows.fetchmany(_AT_ONCE):
                yield from decode_facts([record or b"" for (record,) in some])

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
                "SELECT transaction_number FROM events INDEXED BY events_deployment"
                " WHERE type = 'transaction-committed'"
                " AND json_extract(record, '$.payload.deployment') = ? ORDER BY position DESC LIMIT 1",
                (deployment,),
            ).fetchone()
        return None if row is None else int(row[0])

    def end_of(self, transaction: int) -> int | None:
        """Position of the outcome of a transaction, None where it has none or does not exist."""
        with told_as_errors(self.path):
            (position,) = self._connection.execute(
                f"SELECT max(position) FROM events WHERE transaction_number = ? AND +{IS_OUTCOME}",
                (transaction,),
            ).fetchone()
        return None if position is None else int(position)

    def end_by(self, instant: str) -> int | None:
        """Position of the last outcome recorded by that instant (as `timestamp` writes it), None before the first."""
        with told_as_errors(self.path):
            row = self._connection.execute(
                f"SELECT position FROM events INDEXED BY events_outcome WHERE recorded_at <= ? AND {IS_OUTCOME}"
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
                "SELECT position, CAST(state AS BLOB) FROM snapshots WHERE projection = ? AND position <= ?"
                " ORDER BY position DESC LIMIT 1",
                (projection, at_most),
            ).fetchone()
        return None if row is None else (int(row[0]), _shown(row[1]))

    @property
    def origin(self) -> str | None:
        """Name of the log that this journal is, None before its first event."""
        from journal.checkpoints import origin_of

        return origin_of(self.node(0, 0)) if self.position else None

    def head(self) -> str | None:
        """The newest signed head, as the text of a note; None where none was ever signed."""
        return self._text("SELECT CAST(note AS BLOB) FROM head")

    def checkpoints(self) -> Iterator[str]:
        """The signed heads that were kept, oldest first."""
        if self.schema_version >= SINCE_CHECKPOINTS:
            with told_as_errors(self.path):
                rows = self._connection.execute("SELECT CAST(note AS BLOB) FROM checkpoints ORDER BY number")
                for (note,) in rows:
                    yield _shown(note)

    def last_checkpoint(self) -> str | None:
        """The newest head that was kept."""
        return self._text("SELECT CAST(note AS BLOB) FROM checkpoints ORDER BY number DESC LIMIT 1")

    def checkpoint_covering(self, position: int) -> str | None:
        """The newest kept head that a witness cosigned, else the newest one, of those that cover a position."""
        condition = "size >= ? ORDER BY number DESC LIMIT 1"
        note = "SELECT CAST(note AS BLOB) FROM"
        cosigned = f"{note} checkpoints WHERE note LIKE '%\n\u2014 %\n\u2014 %' AND {condition}"
        return self._text(cosigned, position) or self._text(f"{note} head WHERE size >= ?", position)

    def last_checkpoint_signed_by(self, name: str) -> str | None:
        """The newest kept head with a signature in this name, of a witness for instance."""
        return self._text(
            "SELECT CAST(note AS BLOB) FROM checkpoints WHERE instr(note, ?) ORDER BY number DESC LIMIT 1",
            f"\n\u2014 {name} ",
        )

    def node(self, level: int, index: int) -> bytes:
        """Stored hash of the complete node (level, index) of the Merkle tree.

        Raises:
            JournalCorrupt: it is missing.
        """
        found = self.node_hashes(level, index, index + 1)
        if not found:
            raise JournalCorrupt(f"{self.path}: the hash of node ({level}, {index}) is missing")
        return found[0]

    # Within

    def _text(self, query: str, *values: object) -> str | None:
        """One note out of the tables of checkpoints, which the query gives as bytes."""
        if self.schema_version < SINCE_CHECKPOINTS:
            return None
        with told_as_errors(self.path):
            row = self._connection.execute(query, values).fetchone()
        return None if row is None else _shown(row[0])

    def _select(self, condition: str, values: tuple[int, ...]) -> Iterator[Event]:
        with told_as_errors(self.path):
            for (record,) in self._connection.execute(f"SELECT record FROM events WHERE {condition}", values):
                yield decode(record or "")


def _shown(text: bytes | None) -> str:
    """What a text says; where somebody made it none in UTF-8, it is one that does not say what it has to."""
    return (text or b"").decode(errors="replace")
