"""The store: append-only, gapless, durable, the same for everyone who reads it."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from journal import errors, merkle
from journal.events import RequestsChanged, TransactionCommitted, TransactionStarted, TransactionUnchanged
from journal.store import APPLICATION_ID, SCHEMA_VERSION, Journal
from journal.values import Request
from tests.drafts import DraftMaker


def transaction(journal: Journal, draft: DraftMaker, spec: str = "strace") -> str:
    uuid = draft.uuid()
    journal.append([draft(uuid, TransactionStarted("pkg-add", (spec,)))])
    journal.append([draft(uuid, RequestsChanged(added=(Request(spec),))), draft(uuid, TransactionCommitted("d.0"))])
    return uuid


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as anybody with SQLite and the right to write can open it."""
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def test_positions_and_transaction_numbers_have_no_gaps(journal: Journal, draft: DraftMaker) -> None:
    for _ in range(5):
        transaction(journal, draft)
    events = list(journal.events())
    assert [event.position for event in events] == list(range(1, 16))
    assert [event.transaction for event in events] == [n for n in range(1, 6) for _ in range(3)]
    assert (journal.position, journal.transactions) == (15, 5)


def test_what_was_appended_is_read_back_by_another_reader(journal: Journal, path: Path, draft: DraftMaker) -> None:
    transaction(journal, draft)
    assert list(Journal.open(path).events()) == list(journal.events())


def test_an_append_at_an_unexpected_position_is_refused(journal: Journal, draft: DraftMaker) -> None:
    transaction(journal, draft)
    with pytest.raises(errors.UnexpectedPosition):
        journal.append([draft(draft.uuid(), TransactionStarted("upgrade"))], expected_position=0)
    assert journal.position == 3


def test_appending_the_same_event_again_changes_nothing(journal: Journal, draft: DraftMaker) -> None:
    first = draft(draft.uuid(), TransactionStarted("upgrade"))
    assert journal.append([first]) == journal.append([first])
    assert journal.position == 1


def test_another_event_with_an_id_that_is_taken_is_refused(journal: Journal, draft: DraftMaker) -> None:
    first = draft(draft.uuid(), TransactionStarted("upgrade"))
    other = draft(first.transaction_uuid, TransactionUnchanged("No change."))
    journal.append([first])
    with pytest.raises(errors.EventRefused):
        journal.append([type(first)(first.event_id, other.transaction_uuid, other.recorded_at, *_rest(other))])


def _rest(draft: object) -> tuple[object, object]:
    return draft.context, draft.payload  # type: ignore[attr-defined]


def test_events_of_unknown_and_finished_transactions_are_refused(journal: Journal, draft: DraftMaker) -> None:
    finished = transaction(journal, draft)
    for uuid in (finished, draft.uuid()):
        with pytest.raises(errors.EventRefused):
            journal.append([draft(uuid, TransactionUnchanged("No change."))])
    assert journal.position == 3


def test_an_append_is_all_or_nothing(journal: Journal, draft: DraftMaker) -> None:
    good, bad = draft(draft.uuid(), TransactionStarted("a")), draft(draft.uuid(), TransactionUnchanged("b"))
    with pytest.raises(errors.EventRefused):
        journal.append([good, bad])
    assert journal.position == 0


def test_what_an_append_left_undone_is_in_no_later_hash(journal: Journal, draft: DraftMaker) -> None:
    """An append remembers nodes of the tree; those of one that was rolled back must not be among them."""
    uuid = draft.uuid()
    started, unchanged = draft(uuid, TransactionStarted("a")), draft(uuid, TransactionUnchanged("b"))
    with pytest.raises(errors.EventRefused):
        journal.append([started, unchanged, draft(draft.uuid(), TransactionUnchanged("of nobody"))])
    transaction(journal, draft)
    first, second, third = (merkle.leaf_hash(record.encode()) for _, record in journal.records())
    assert journal.root_hash == merkle.node_hash(merkle.node_hash(first, second), third)


def test_of_each_thousand_positions_one_snapshot_is_kept(journal: Journal) -> None:
    for position in (10, 600, 1100, 1300):
        journal.save_snapshot("host", position, f"at {position}")
        journal.save_snapshot("other", position, "theirs")
    assert journal.snapshots("host") == journal.snapshots("other") == [600, 1300]
    assert journal.snapshot("host", 1299) == (600, "at 600")
    assert journal.snapshot("host", 599) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET record = '{}'",
        "UPDATE nodes SET hash = zeroblob(32)",
        "DELETE FROM events",
        "DELETE FROM nodes",
        "INSERT OR REPLACE INTO events (record) SELECT record FROM events WHERE position = 1",
        "REPLACE INTO events (rowid, record) SELECT 1, json_set(record, '$.position', 4, '$.event_id', 'new')"
        " FROM events WHERE position = 1",
        "INSERT INTO events (record) SELECT json_set(record, '$.position', 9, '$.event_id', 'new') FROM events LIMIT 1",
        "INSERT OR REPLACE INTO nodes VALUES (0, 0, zeroblob(32))",
        "INSERT INTO events (record) VALUES ('not json')",
    ],
)
def test_the_schema_itself_refuses_to_change_the_past(
    journal: Journal, path: Path, draft: DraftMaker, statement: str
) -> None:
    transaction(journal, draft)
    before = list(journal.records())
    with raw(path) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute(statement)
    assert list(journal.records()) == before


def test_no_column_can_say_something_else_than_the_record(path: Path, journal: Journal) -> None:
    with raw(path) as connection:
        columns = {row[1]: row[6] for row in connection.execute("PRAGMA table_xinfo(events)")}
    generated = 2  # of table_xinfo's `hidden`: a virtual generated column
    assert {name for name, kind in columns.items() if kind != generated} == {"record"}


def test_the_root_hash_covers_every_record_as_stored(journal: Journal, draft: DraftMaker) -> None:
    for _ in range(4):
        transaction(journal, draft)
    leaves = [merkle.leaf_hash(record.encode()) for _, record in journal.records()]
    while len(leaves) > 1:
        pairs = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
        leaves = [merkle.node_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    assert journal.root_hash == leaves[0]


def test_it_is_in_rollback_journal_mode_and_knows_itself(path: Path, journal: Journal) -> None:
    with raw(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA application_id").fetchone()[0] != 0
    assert sorted(each.name for each in path.parent.iterdir()) == ["journal.db"]


@pytest.mark.parametrize("read", [False, True])
def test_a_file_that_another_tool_put_into_wal_mode_is_put_back_unless_somebody_reads(
    path: Path, journal: Journal, draft: DraftMaker, read: bool
) -> None:
    transaction(journal, draft)
    journal.close()
    with raw(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        if read:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM events").fetchone()
        again = Journal.open_for_append(path)
        transaction(again, draft)
        again.close()
    with raw(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal" if read else "delete",)
    transaction(Journal.open_for_append(path), draft)
    with raw(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert Journal.open(path).position == 9


def test_a_file_of_no_version_is_not_taken_over(path: Path) -> None:
    path.parent.mkdir()
    with raw(path) as connection:
        connection.execute("CREATE TABLE things (x)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    before = path.read_bytes()
    with pytest.raises(errors.JournalForeign, match="no journal has schema version 0"):
        Journal.open_for_append(path)
    assert path.read_bytes() == before


def _append_many(path: Path, count: int) -> None:
    journal, draft = Journal.open_for_append(path), DraftMaker()
    for _ in range(count):
        uuid = draft.uuid()
        journal.append([draft(uuid, TransactionStarted("pkg-add"))])
        journal.append([draft(uuid, TransactionUnchanged("No change."))])


def test_processes_that_append_at_once_leave_no_gap(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_many, args=(path, 10)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    journal = Journal.open(path)
    assert (journal.position, journal.transactions) == (80, 40)
    assert [event.position for event in journal.events()] == list(range(1, 81))


def test_opening_for_reading_creates_nothing(path: Path) -> None:
    with pytest.raises(errors.JournalMissing):
        Journal.open(path)
    assert not path.parent.exists()


def test_a_file_that_is_not_sqlite_is_called_corrupt(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, and never was one" * 100)
    for opened in (Journal.open, Journal.open_for_append):
        with pytest.raises(errors.JournalCorrupt, match=str(path)):
            opened(path)


def test_damage_in_the_middle_is_called_corrupt(journal: Journal, path: Path, draft: DraftMaker) -> None:
    for _ in range(60):
        transaction(journal, draft)
    journal.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(errors.JournalCorrupt, match=str(path)):
        list(Journal.open(path).events())


def test_somebody_elses_database_is_called_foreign(path: Path) -> None:
    path.parent.mkdir()
    with raw(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(errors.JournalForeign):
        Journal.open_for_append(path)


def test_a_later_schema_is_left_alone(journal: Journal, path: Path) -> None:
    journal.close()
    with raw(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(errors.JournalTooNew):
        Journal.open_for_append(path)


def test_the_last_outcome_by_an_instant_is_found(journal: Journal, draft: DraftMaker) -> None:
    transaction(journal, draft)
    transaction(journal, draft)
    events = list(journal.events())
    assert journal.end_by(events[2].recorded_at) == 3
    assert journal.end_by(events[4].recorded_at) == 3
    assert journal.end_by(events[5].recorded_at) == 6
    assert journal.end_by(events[1].recorded_at) is None


def test_instants_and_deployments_are_looked_up_in_their_own_indexes(journal: Journal, draft: DraftMaker) -> None:
    """Regression: with an index of types, SQLite read all outcomes and sorted them."""
    transaction(journal, draft)
    asked: list[str] = []
    journal._connection.set_trace_callback(asked.append)
    journal.end_by("2999")
    journal.deployed_in("d.0")
    journal._connection.set_trace_callback(None)
    plans = [row[3] for query in asked for row in journal._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    used = [plan.split("INDEX ")[1].split()[0] for plan in plans if "INDEX " in plan]
    assert used == ["events_outcome", "events_deployment"]
