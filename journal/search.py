"""The full-text search: what it has to take in, and whether it says what the records say."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from journal.file import connect_to_read
from journal.reader import IS_OUTCOME
from journal.views import SEARCH_FILL, SEARCH_TABLE

_COLUMNS = "transaction_number, command_line, message, packages"


def take_in(connection: sqlite3.Connection) -> None:
    """Take in the transactions that ended since the last one that the search knows, each once."""
    row = connection.execute("SELECT transaction_number FROM search ORDER BY rowid DESC LIMIT 1").fetchone()
    ended = connection.execute(
        f"SELECT transaction_number FROM events INDEXED BY events_type WHERE {IS_OUTCOME} AND position >"
        f" coalesce((SELECT max(position) FROM events WHERE transaction_number = ? AND +{IS_OUTCOME}), 0)",
        row or (0,),
    )
    for number in ended.fetchall():
        connection.execute(
            f"{SEARCH_FILL} WHERE transaction_number = ?"
            " AND NOT EXISTS (SELECT 1 FROM search WHERE search.rowid = position)",
            number,
        )


def wrongly_searched(path: Path, events: int) -> list[tuple[int, int | None]]:
    """Position and transaction of the events of which the search has another text or other words than their records.

    It may not know the transaction that ended last: that is taken in after its outcome was recorded.

    Args:
        events: how many are looked at. What is appended meanwhile is left out, with the transactions that end in it.

    Raises:
        sqlite3.DatabaseError: the search can't be read, or its index is damaged in another way.
    """
    kept, said = f"SELECT rowid AS position, {_COLUMNS} FROM search", f"SELECT position, {_COLUMNS} FROM temp.said"
    with closing(connect_to_read(path)) as connection:
        connection.execute(f"CREATE TABLE temp.said AS SELECT position, {_COLUMNS} FROM search_text")
        differing = [
            *connection.execute(f"SELECT position, transaction_number FROM ({kept} EXCEPT {said})"),
            *connection.execute(f"SELECT position, transaction_number FROM ({said} EXCEPT {kept})"),
        ]
        if not _index_fits(connection):
            words = _other_words(connection)
            if not words and not differing:
                raise sqlite3.DatabaseError("the index of the search is damaged")
            differing += words
        left_out = _left_out(connection, events)
    return sorted({position: number for position, number in differing if number not in left_out}.items())


def _left_out(connection: sqlite3.Connection, events: int) -> set[int]:
    """The transactions that the search may not know: that ended after these events, or last of them if it has none."""
    of = f"SELECT transaction_number FROM events INDEXED BY events_type WHERE {IS_OUTCOME} AND position"
    left_out = {number for (number,) in connection.execute(f"{of} > ?", (events,))}
    last = connection.execute(f"{of} <= ? ORDER BY position DESC LIMIT 1", (events,)).fetchone()
    if last and not connection.execute("SELECT 1 FROM search WHERE transaction_number = ?", last).fetchone():
        left_out.add(last[0])
    return left_out


def _index_fits(connection: sqlite3.Connection) -> bool:
    """Whether the search finds what its text says: FTS5's own check, which wants to write, on a copy of its tables."""
    connection.execute("ATTACH '' AS copy")
    connection.execute(SEARCH_TABLE.format(name="copy.search"))
    connection.execute("BEGIN")
    for part in ("data", "idx", "content"):
        connection.execute(f"DELETE FROM copy.search_{part}")
        connection.execute(f"INSERT INTO copy.search_{part} SELECT * FROM main.search_{part}")
    connection.execute("COMMIT")
    try:
        connection.execute("INSERT INTO copy.search (search) VALUES ('integrity-check')")
    except sqlite3.DatabaseError:
        return False
    return True


def _other_words(connection: sqlite3.Connection) -> list[tuple[int, int | None]]:
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
    return connection.execute(
        f"SELECT doc, transaction_number FROM ({differing}) LEFT JOIN events ON position = doc"
    ).fetchall()
