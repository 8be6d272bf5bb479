"""What is stored in the journal's file, row by row: for `journal.verification`, which takes nothing for granted."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from journal.errors import JournalCorrupt
from journal.file import applied, objects, told_as_errors

SINCE_CHECKPOINTS = 2
"""The first version of the schema that has checkpoints."""

SINCE_VIEWS = 3
"""The first version of the schema that has what auditors query."""

POSITIONS = 1 << 62
"""More than any journal has."""


class Stored:
    """A journal's file that is open."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def close(self) -> None:
        """Let go of the file; nothing can be asked from then on."""
        self._connection.close()

    @property
    def schema_version(self) -> int:
        """Version of the file's schema."""
        return self._number("PRAGMA user_version")

    @property
    def position(self) -> int:
        """Position of the last event, 0 where there is none."""
        return self._number("SELECT max(position) FROM events")

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """What is asked within is answered from one state of the file; appends wait meanwhile."""
        with told_as_errors(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")

    def last_nodes(self) -> dict[int, int]:
        """Each level of the stored tree to the index of its last node."""
        with told_as_errors(self.path):
            return self._nodes("max")

    def first_nodes(self) -> dict[int, int]:
        """Each level of the stored tree to the index of its first node."""
        with told_as_errors(self.path):
            return self._nodes("min")

    @property
    def signed_size(self) -> int:
        """How many events the signed head is over, 0 where there is none."""
        return self._number("SELECT size FROM head") if self.schema_version >= SINCE_CHECKPOINTS else 0

    @property
    def heads(self) -> int:
        """How many signed heads are stored where there is one at most."""
        return self._number("SELECT count(*) FROM head") if self.schema_version >= SINCE_CHECKPOINTS else 0

    @property
    def rows(self) -> int:
        """Number of the last row of the table of events, whatever it says."""
        return self._number("SELECT max(rowid) FROM events")

    @property
    def last_position(self) -> int:
        """As `position`, also where the index leaves the last event out or one has none, and no more than can be."""
        numbers = "SELECT max(position) FROM events WHERE position < ''"  # which come before texts
        last = self._number(f"{numbers} AND rowid = (SELECT max(rowid) FROM events)")
        return max(0, min(max(last, self._number(numbers)), POSITIONS))

    @property
    def last_transaction(self) -> int:
        """Number of the last transaction, of those that have one."""
        return self._number("SELECT max(transaction_number) FROM events WHERE transaction_number < ''")

    @property
    def rows_ahead(self) -> bool:
        """Whether a row stands before the place of the first event."""
        return bool(self._number("SELECT EXISTS (SELECT 1 FROM events WHERE rowid < 1)"))

    def objects(self) -> dict[tuple[str, str], str | None]:
        """(type, name) of each table, index, trigger and view to its SQL, but for SQLite's and sqlite-utils' own."""
        with told_as_errors(self.path):
            return objects(self._connection)

    def migrations(self) -> set[str]:
        """Names of the migrations that were applied."""
        with told_as_errors(self.path):
            return applied(self._connection)

    def indexed(self, index: str) -> int:
        """How many rows an index of the events leads to."""
        return self._number(f"SELECT count(rowid) FROM events INDEXED BY {index} WHERE true")

    def integrity(self) -> list[str]:
        """What SQLite's own check says of pages, indexes and constraints: nothing, where all is well."""
        with told_as_errors(self.path):
            said = [str(line) for (line,) in self._connection.execute("PRAGMA integrity_check")]
        return [] if said == ["ok"] else said

    def wrongly_searched(self, events: int) -> list[tuple[int, int, int | None]]:
        """Those of the first events of which the search does not say what they say, as `search.wrongly_searched`."""
        from journal import search

        with told_as_errors(self.path):
            return search.wrongly_searched(self.path, events)

    def stored_records(self, after: int, until: int) -> list[bytes]:
        """The records, in UTF-8, of the rows after < rowid <= until, in the order in which they were stored.

        A record that is no text is left out: the views can't read it.
        """
        condition = "rowid > ? AND rowid <= ? AND typeof(record) = 'text'"
        return self._column(f"SELECT CAST(record AS BLOB) FROM events WHERE {condition}", after, until)

    def every_record(self) -> Iterator[tuple[int, bytes]]:
        """Row and record, in UTF-8, of all events, in the order in which they were stored; b"" where it is no text."""
        with told_as_errors(self.path):
            for row, record in self._connection.execute(
                "SELECT rowid, CASE typeof(record) WHEN 'text' THEN CAST(record AS BLOB) END FROM events ORDER BY rowid"
            ):
                yield row, record or b""

    def node_hashes(self, level: int, first: int, end: int) -> list[bytes]:
        """Stored hashes of the nodes first <= index < end of a level: those that are there."""
        condition = "level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        return self._column(f"SELECT CAST(hash AS BLOB) FROM nodes WHERE {condition}", level, first, end)

    def joined_hashes(self, level: int, first: int, end: int) -> bytes:
        """As `node_hashes`, one after the other, none where one is longer than a hash: SQLite joins them faster.

        They come as the key has them; that order is not asked for, since asking makes it half as fast.
        """
        query = (
            "SELECT CASE max(length(hash)) WHEN 32 THEN CAST(group_concat(hash, '') AS BLOB) END"
            " FROM nodes WHERE level = ? AND idx >= ? AND idx < ?"
        )
        (joined,) = self._column(query, level, first, end)
        return joined

    def numbered_hashes(self, level: int, first: int, end: int) -> dict[int, bytes]:
        """As `node_hashes`, by index."""
        with told_as_errors(self.path):
            rows = self._connection.execute(
                "SELECT idx, CAST(hash AS BLOB) FROM nodes WHERE level = ? AND idx >= ? AND idx < ?",
                (level, first, end),
            )
            return {index: digest or b"" for index, digest in rows}

    def snapshots(self, projection: str) -> list[int]:
        """Positions of the snapshots of a projection, in order."""
        with told_as_errors(self.path):
            rows = self._connection.execute(
                "SELECT CAST(position AS INTEGER) FROM snapshots WHERE projection = ? ORDER BY position", (projection,)
            )
            return [position or 0 for (position,) in rows]

    # Within

    def _column(self, query: str, *values: int) -> list[bytes]:
        with told_as_errors(self.path):
            return [value or b"" for (value,) in self._connection.execute(query, values)]

    def _nodes(self, which: str) -> dict[int, int]:
        rows = self._connection.execute(
            "WITH RECURSIVE levels (level) AS (SELECT min(level) FROM nodes UNION ALL"
            " SELECT (SELECT min(level) FROM nodes WHERE level > levels.level) FROM levels WHERE level IS NOT NULL)"
            f" SELECT CAST(level AS INTEGER), (SELECT coalesce(CAST({which}(idx) AS INTEGER), 0) FROM nodes"
            " WHERE level = levels.level) FROM levels WHERE level IS NOT NULL"
        )
        return dict(rows.fetchall())

    def _number(self, query: str) -> int:
        with told_as_errors(self.path):
            row = self._connection.execute(query).fetchone()
        try:
            return int((row and row[0]) or 0)
        except ValueError as error:
            raise JournalCorrupt(
                f"The journal {self.path} is corrupt: {row[0]!r} stands where a number does"
            ) from error
