"""The SQLite schema of the journal, as migrations of sqlite-utils.

Imported only where a journal is created or brought up to a later schema: what is read or appended needs no
sqlite-utils. SQLite 3.37 is the floor (STRICT tables).
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from journal.errors import JournalCorrupt
from journal.file import MIGRATIONS, applied, objects
from journal.reader import IS_OUTCOME
from journal.store import APPLICATION_ID, SCHEMA_VERSION
from journal.views import SEARCH, SEARCH_FILL, VIEWS

migrations = Migrations(MIGRATIONS)


@migrations()
def m001_events(db: Database) -> None:
    """Every column but the record itself is generated from it, so that none can say something else."""
    columns = ", ".join(
        f"{name} {kind} NOT NULL GENERATED ALWAYS AS (json_extract(record, '$.{path}')) VIRTUAL"
        for name, kind, path in (
            ("position", "INTEGER", "position"),
            ("event_id", "TEXT", "event_id"),
            ("transaction_number", "INTEGER", "transaction"),
            ("transaction_uuid", "TEXT", "transaction_uuid"),
            ("type", "TEXT", "type"),
            ("recorded_at", "TEXT", "recorded_at"),
        )
    )
    db.execute(f"CREATE TABLE events (record TEXT NOT NULL CHECK (json_valid(record)), {columns}) STRICT")
    db.execute("CREATE UNIQUE INDEX events_position ON events (position)")
    db.execute("CREATE UNIQUE INDEX events_event_id ON events (event_id)")
    db.execute("CREATE INDEX events_transaction ON events (transaction_number, position)")
    db.execute("CREATE INDEX events_transaction_uuid ON events (transaction_uuid)")
    db.execute(f"CREATE INDEX events_outcome ON events (recorded_at, position) WHERE {IS_OUTCOME}")
    db.execute(
        "CREATE INDEX events_deployment ON events (json_extract(record, '$.payload.deployment'))"
        " WHERE type = 'transaction-committed'"
    )


@migrations()
def m002_nodes(db: Database) -> None:
    """The complete nodes of the Merkle tree; level 0 holds the leaf hashes of the records."""
    db.execute(
        "CREATE TABLE nodes (level INTEGER NOT NULL, idx INTEGER NOT NULL,"
        " hash BLOB NOT NULL CHECK (length(hash) = 32), PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m003_append_only(db: Database) -> None:
    """UPDATE, DELETE and INSERT OR REPLACE are refused by the schema itself.

    REPLACE deletes without firing DELETE triggers, hence the BEFORE INSERT triggers; NEW.rowid is checked because
    a REPLACE can also be aimed at a row by its rowid.
    """
    for table in ("events", "nodes"):
        _append_only(db, table)
    db.execute(
        "CREATE TRIGGER events_next_position BEFORE INSERT ON events"
        " WHEN json_extract(NEW.record, '$.position')"
        " IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events)"
        " OR EXISTS (SELECT 1 FROM events WHERE rowid = NEW.rowid)"
        " OR EXISTS (SELECT 1 FROM events WHERE event_id = json_extract(NEW.record, '$.event_id'))"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only: not the next position'); END"
    )
    db.execute(
        "CREATE TRIGGER nodes_once BEFORE INSERT ON nodes"
        " WHEN EXISTS (SELECT 1 FROM nodes WHERE level = NEW.level AND idx = NEW.idx)"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    )


@migrations()
def m004_snapshots(db: Database) -> None:
    """Caches of projections. Dropping them changes nothing but time."""
    db.execute(
        "CREATE TABLE snapshots (projection TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,"
        " PRIMARY KEY (projection, position)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m005_checkpoints(db: Database) -> None:
    """The signed head, renewed by each append, and the heads that were kept."""
    size = (
        "size INTEGER NOT NULL GENERATED ALWAYS AS (CAST(substr(note, instr(note, char(10)) + 1) AS INTEGER)) VIRTUAL"
    )
    db.execute(f"CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), note TEXT NOT NULL, {size}) STRICT")
    db.execute(f"CREATE TABLE checkpoints (number INTEGER PRIMARY KEY, note TEXT NOT NULL, {size}) STRICT")
    _append_only(db, "checkpoints")
    db.execute(
        "CREATE TRIGGER checkpoints_once BEFORE INSERT ON checkpoints"
        " WHEN EXISTS (SELECT 1 FROM checkpoints WHERE number = NEW.number)"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    )


@migrations()
def m006_views(db: Database) -> None:
    """What auditors query, see `journal.views`."""
    for statement in (*VIEWS, *SEARCH):
        db.execute(statement)
    db.execute(
        f"CREATE TRIGGER events_searched AFTER INSERT ON events WHEN NEW.{IS_OUTCOME}\n"
        f"BEGIN {SEARCH_FILL} WHERE transaction_number = NEW.transaction_number;\nEND"
    )


@migrations()
def m007_search_apart(db: Database) -> None:
    """The search is no part of an append: `Journal.update_search` takes in what has ended (ADR 68).

    The trigger of m003 says the same without reading the record twice more. And snapshots are found without reading
    others: in a table without rowids the key that is compared is all of a row, states of 70 kB with it.
    """
    db.execute("DROP TRIGGER events_searched")
    db.execute("DROP TRIGGER events_next_position")
    db.execute(
        "CREATE TRIGGER events_next_position BEFORE INSERT ON events"
        " WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events)"
        " OR EXISTS (SELECT 1 FROM events WHERE rowid = NEW.rowid)"
        " OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only: not the next position'); END"
    )
    db.execute("CREATE TEMP TABLE kept AS SELECT projection, position, state FROM snapshots")
    db.execute("DROP TABLE snapshots")
    db.execute(
        "CREATE TABLE snapshots (projection TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,"
        " PRIMARY KEY (projection, position)) STRICT"
    )
    db.execute("INSERT INTO snapshots SELECT projection, position, state FROM temp.kept")
    db.execute("DROP TABLE temp.kept")


_FIRST_LATER = {1: "m005_checkpoints", 2: "m006_views", 3: "m007_search_apart"}
"""Schema versions before the present one, and the first migration that each of them lacks."""


def migrate(connection: sqlite3.Connection, version: int = SCHEMA_VERSION) -> None:
    """Bring the database behind this connection up to a version of the schema, by default the present one.

    Raises:
        JournalCorrupt: migrations that its version has are not in its list of them, and would be applied once more.
    """
    (present,) = connection.execute("PRAGMA user_version").fetchone()
    if present and (lacking := names(present) - applied(connection)):
        raise JournalCorrupt(
            f"its list of applied migrations lacks {', '.join(sorted(lacking))}, which schema version {present} has",
            hint="Restore it from a copy; see docs/journal.md.",
        )
    migrations.apply(Database(connection, execute_plugins=False), stop_before=_FIRST_LATER.get(version))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")


def names(version: int) -> set[str]:
    """The migrations that a journal of this version has."""
    every = [each.name for each in migrations.pending(Database(memory=True))]
    return set(every[: every.index(_FIRST_LATER[version])] if version in _FIRST_LATER else every)


def expected(version: int) -> dict[tuple[str, str], str | None]:
    """What sqlite_schema of a journal of this version holds: (type, name) of each object to its SQL."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, version)
        return objects(connection)
    finally:
        connection.close()


def _append_only(db: Database, table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
        )
