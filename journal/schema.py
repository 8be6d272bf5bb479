"""The SQLite schema of the journal, as migrations of sqlite-utils.

Imported only where a journal is created or brought up to a later schema: what is read or appended needs no
sqlite-utils. SQLite 3.37 is the floor (STRICT tables).
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from journal.events import OUTCOMES
from journal.store import APPLICATION_ID, SCHEMA_VERSION
from journal.views import SEARCH, VIEWS

migrations = Migrations("layer.journal")

_OUTCOME_TYPES = ", ".join(f"'{outcome.TYPE}'" for outcome in OUTCOMES)


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
    db.execute(f"CREATE INDEX events_outcome ON events (recorded_at, position) WHERE type IN ({_OUTCOME_TYPES})")
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
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
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
def m006_views(db: Database) -> None:
    """What auditors query, see `journal.views`."""
    for statement in (*VIEWS, *SEARCH):
        db.execute(statement)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database behind this connection up to the present schema."""
    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
