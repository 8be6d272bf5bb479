"""The full-text search: what it has to take in, and whether it says what the records say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import groupby
from pathlib import Path

from journal.errors import SearchDamaged
from journal.file import connect_to_read
from journal.reader import IS_OUTCOME
from journal.views import SEARCH_FILL, SEARCH_TABLE

AT_ONCE = 256
"""Transactions that are taken in at a time: they take a tenth of a second."""

_COLUMNS = "transaction_number, command_line, message, packages"
_PRIMARY = 0xFF
"""The part of SQLite's extended error codes that is the primary one."""
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT)


def ended(connection: sqlite3.Connection) -> list[int]:
    """The transactions that ended since the last one that the search knows, in the order in which they did.

    Taken in that order, they lead on to the others, wherever that is cut off.
    """
    row = connection.execute("SELECT transaction_number FROM search ORDER BY rowid DESC LIMIT 1").fetchone()
    found = connection.execute(
        f"SELECT position, transaction_number FROM events INDEXED BY events_type WHERE {IS_OUTCOME} AND position >"
        f" coalesce((SELECT max(position) FROM events WHERE transaction_number = ? AND +{IS_OUTCOME}), 0)",
        row or (0,),
    )
    return [number for _, number in sorted(found)]


def take_in(connection: sqlite3.Connection, transactions: Iterable[int]) -> None:
    """Take in these transactions, what is there already left as it is."""
    for number in transactions:
        connection.execute(
            f"{SEARCH_FILL} WHERE transaction_number = ?"
            " AND NOT EXISTS (SELECT 1 FROM search WHERE search.rowid = position)",
            (number,),
        )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether what SQLite says may be the search's fault, and not that of a lock, the disk or its owner."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY in _DAMAGE


def made_anew(connection: sqlite3.Connection) -> list[int]:
    """Make the search anew, empty, whatever is left of it; returns the transactions that it has to take in, as `ended`.

    What FTS5 can't connect to it can't drop either: SQLite is made to forget it, and the tables below it are dropped.
    """
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DELETE FROM sqlite_schema WHERE name = 'search' AND rootpage = 0")
    connection.execute("PRAGMA writable_schema = RESET")
    for part in ("data", "idx", "content", "docsize", "config"):
        connection.execute(f"DROP TABLE IF EXISTS search_{part}")
    connection.execute(SEARCH_TABLE.format(name="search"))
    return ended(connection)


def wrongly_searched(path: Path, events: int) -> list[tuple[int, int, int | None]]:
    """The events of which the search has another text or other words than their records, in runs.

    It may not know the transaction that ended last: that is taken in after its outcome was recorded.

    Args:
        events: how many are looked at. What is appended meanwhile is left out, with the transactions that end in it.

    Returns of each run the first and the last position, and the transaction of the first. Between two runs are events
    of which the search has what they say.

    Raises:
        SearchDamaged: the search can't be read, or its index is damaged in another way.
    """
    with closing(connect_to_read(path)) as connection:
        connection.execute(f"CREATE TABLE temp.said AS SELECT position, {_COLUMNS} FROM search_text")
        try:
            wrong = _differing(connection)
            if not _index_fits(connection):
                words = _other_words(connection)
                if not words and not wrong:
                    raise SearchDamaged("The index of the search is damaged")
                wrong |= words
            return _runs(connection, wrong, events) if wrong else []
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            raise SearchDamaged(f"The search is damaged: {error}") from error


def _differing(connection: sqlite3.Connection) -> set[int]:
    """The events of which the search has another text than their records."""
    kept, said = f"SELECT rowid AS position, {_COLUMNS} FROM search", f"SELECT position, {_COLUMNS} FROM temp.said"
    both = f"SELECT * FROM ({kept} EXCEPT {said}) UNION ALL SELECT * FROM ({said} EXCEPT {kept})"
    return {row[0] for row in connection.execute(both)}


def _runs(connection: sqlite3.Connection, wrong: set[int], events: int) -> list[tuple[int, int, int | None]]:
    """The wrong ones, those that follow each other in the search, or should, as one."""
    connection.execute("CREATE TABLE temp.wrong (position INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO temp.wrong VALUES (?)", ((position,) for position in wrong))
    every = "SELECT rowid AS position FROM search UNION SELECT position FROM temp.said UNION SELECT position FROM wrong"
    places = connection.execute(
        f"SELECT position, transaction_number FROM ({every}) LEFT JOIN events USING (position) ORDER BY position"
    ).fetchall()
    left_out = _left_out(connection, events)
    places = [(position, number) for position, number in places if number not in left_out]
    runs = []
    for is_wrong, run in groupby(places, key=lambda place: place[0] in wrong):
        if is_wrong:
            found = list(run)
            runs.append((found[0][0], found[-1][0], found[0][1]))
    return runs


def _left_out(connection: sqlite3.Connection, events: int) -> set[int]:
    """The transactions that the search may not know: that ended after these events, or last of them if it has none."""
    of = f"SELECT transaction_number FROM events INDEXED BY events_type WHERE {IS_OUTCOME} AND position"
    left_out = {number for (number,) in connection.execute(f"{of} > ?", (events,))}
    last = connection.execute(f"{of} <= ? ORDER BY position DESC LIMIT 1", (events,)).fetchone()
    if last and not connection.execute("SELECT 1 FROM search WHERE transaction_number = ?", last).fetchone():
        left_out.add(last[0])
    return left_out


def _index_fits(connection: sqlite3.Connection) -> bool:
    """Whether the search finds what its text says: FTS5's own check, which wants to write, on a copy of its tables.

    And, since that reads the index from its beginning to its end, whether each word is found that is looked up.
    """
    connection.execute("ATTACH '' AS copy")
    connection.execute(SEARCH_TABLE.format(name="copy.search"))
    if connection.execute("SELECT * FROM main.search_config EXCEPT SELECT * FROM copy.search_config").fetchall():
        return False  # how matches are ranked, for instance
    connection.execute("BEGIN")
    for part in ("data", "idx", "content"):
        connection.execute(f"DELETE FROM copy.search_{part}")
        connection.execute(f"INSERT INTO copy.search_{part} SELECT * FROM main.search_{part}")
    connection.execute("COMMIT")
    try:
        connection.execute("INSERT INTO copy.search (search) VALUES ('integrity-check')")
    except sqlite3.DatabaseError:
        return False
    connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(copy, search, row)")
    (lost,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM words every LEFT JOIN words found ON found.term = every.term"
        " WHERE found.doc IS NOT every.doc OR found.cnt IS NOT every.cnt)"
    ).fetchone()
    return not lost


def _other_words(connection: sqlite3.Connection) -> set[int]:
    """The events that the search finds by other words than a search does that is made anew of its text."""
    connection.execute("ATTACH '' AS fresh")
    connection.execute(SEARCH_TABLE.format(name="fresh.search"))
    connection.execute(f"INSERT INTO fresh.search (rowid, {_COLUMNS}) SELECT rowid, {_COLUMNS} FROM main.search")
    words = {}
    for schema in ("main", "fresh"):
        connection.execute(f"CREATE VIRTUAL TABLE temp.words_{schema} USING fts5vocab({schema}, search, instance)")
        words[schema] = f"SELECT * FROM temp.words_{schema}"
    differing = " UNION ALL ".join(
        f"SELECT doc FROM ({words[one]} EXCEPT {words[other]})" for one, other in (("main", "fresh"), ("fresh", "main"))
    )
    return {doc for (doc,) in connection.execute(differing)}
