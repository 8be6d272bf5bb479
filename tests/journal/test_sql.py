"""The auditor's SQL, from tools that know nothing of layer, as docs/sql.md describes it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from journal import search
from journal.errors import JournalCorrupt, LayerError
from journal.events import TransactionRefused, TransactionStarted, TransactionUnchanged
from journal.schema import migrate
from journal.store import SCHEMA_VERSION, Journal
from journal.verification import check_schema
from journal.views import NAMES
from tests.drafts import DraftMaker, short_history

DOCUMENT = Path(__file__).parents[2] / "docs/sql.md"


@pytest.fixture
def path(path: Path, draft: DraftMaker) -> Path:
    short_history(path, draft)
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", [*NAMES, "search"])
def test_a_view_has_the_columns_that_are_documented(connection: sqlite3.Connection, name: str) -> None:
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert section, f"{name} is not documented"
    documented = re.findall(r"`(\w+)`", section[1].split("Columns:")[1])
    columns = connection.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (name,))
    assert [column for (column,) in columns] == documented


def test_the_documented_questions_are_answered(connection: sqlite3.Connection) -> None:
    *_, block = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    who, at, versions, ticket, records = [query for query in block.split(";") if query.strip()]
    assert [row[1:4] for row in connection.execute(who)] == [("root", "added", "strace-6.1-1.x86_64")]
    assert sorted(connection.execute(at)) == [("base", "zlib-1.3-1.x86_64"), ("layer", "strace-6.1-1.x86_64")]
    assert [row[0] for row in connection.execute(versions.replace("openssl", "zlib"))] == ["zlib-1.3-1.x86_64"]
    assert {row[0] for row in connection.execute(ticket)} >= {2}
    assert [json.loads(record)["position"] for _, record in connection.execute(records)] == list(range(1, 10))


@pytest.mark.parametrize(
    ("words", "transactions"),
    [("nosuch", {3}), ('"CHG-1042"', {2}), ("syscalls", {2}), ("packages:zlib", {1}), ("message:strace", set())],
)
def test_the_search_finds_command_lines_messages_and_packages(
    connection: sqlite3.Connection, words: str, transactions: set[int]
) -> None:
    found = connection.execute("SELECT transaction_number FROM search WHERE search MATCH ?", (words,))
    assert {row[0] for row in found} == transactions


def _searched(path: Path, words: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT transaction_number FROM search WHERE search MATCH ? ORDER BY rowid"
        return [number for (number,) in connection.execute(query, (words,))]


def test_the_search_takes_in_each_transaction_once_and_only_when_it_has_ended(path: Path, draft: DraftMaker) -> None:
    first, second = draft.uuid(), draft.uuid()
    with closing(Journal.open_for_append(path)) as journal:
        journal.append([draft(first, TransactionStarted("upgrade", message="first"))])
        journal.append([draft(second, TransactionStarted("upgrade", message="second"))])
        journal.append([draft(second, TransactionRefused("sysroot-locked", "Locked"))])
        journal.update_search()
        assert _searched(path, "first OR second OR locked") == [5, 5]
        journal.append([draft(first, TransactionUnchanged("No change."))])
        journal.update_search()
        journal.update_search()
    assert _searched(path, "first OR second OR locked OR change") == [4, 5, 5, 4]


def test_what_a_crash_kept_out_of_the_search_is_taken_in_later(path: Path, draft: DraftMaker) -> None:
    uuids = [draft.uuid() for _ in range(3)]
    with closing(Journal.open_for_append(path)) as journal:
        for uuid in uuids:
            journal.append([draft(uuid, TransactionStarted("upgrade", message="missed"))])
            journal.append([draft(uuid, TransactionUnchanged("No change."))])
    assert _searched(path, "missed") == []
    with closing(Journal.open_for_append(path)) as journal:
        journal.update_search()
    assert _searched(path, "missed") == [4, 5, 6]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE search_data SET block = x'00'",
        "DELETE FROM search_data",
        "DELETE FROM search_data WHERE id = 1",
        "DELETE FROM search_data WHERE id = 10",
        "DELETE FROM search_config",
        "UPDATE search_config SET v = 99",
        "DROP TABLE search_data",
        "DROP TABLE search_idx",
        "DROP TABLE search_content",
        "DROP TABLE search_config",
        "DROP TABLE search",
    ],
)
def test_a_broken_search_stops_no_append_and_is_made_anew(path: Path, draft: DraftMaker, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    uuid = draft.uuid()
    with closing(Journal.open_for_append(path)) as journal:
        journal.append([draft(uuid, TransactionStarted("upgrade"))])
        journal.append([draft(uuid, TransactionUnchanged("No change."))])
        assert journal.update_search()
        assert journal.position == 11
        assert not journal.update_search()
    assert _searched(path, "nosuch OR change") == [3, 4]
    with closing(Journal.open(path)) as journal:
        assert list(check_schema(journal)) == []
        assert journal.wrongly_searched(journal.position) == []
        assert journal.integrity() == []


def test_a_search_whose_pages_were_forgotten_leaves_none_behind_when_it_is_made_anew(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'search'")
        connection.commit()
    with closing(Journal.open_for_append(path)) as journal:
        assert journal.update_search()
        assert list(check_schema(journal)) == []
        assert journal.integrity() == []
    assert _searched(path, "nosuch") == [3]


def test_a_search_that_cannot_be_made_anew_is_left_as_it_was_and_stops_no_append(path: Path, draft: DraftMaker) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP VIEW search_text")
        connection.commit()
    uuid = draft.uuid()
    with closing(Journal.open_for_append(path)) as journal:
        journal.append([draft(uuid, TransactionStarted("upgrade")), draft(uuid, TransactionUnchanged("No change."))])
        with pytest.raises(LayerError):
            journal.update_search()
        assert journal.position == 11
    assert _searched(path, "nosuch") == [3]


def test_a_search_is_not_made_anew_for_a_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journal.file.BUSY_TIMEOUT_MS", 10)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(Journal.open_for_append(path)) as journal,
    ):
        other.execute("DELETE FROM search WHERE transaction_number = 1")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LayerError, match="locked"):
            journal.update_search()
        other.execute("ROLLBACK")
        assert not journal.update_search()
    assert 1 not in _searched(path, "layer")


def test_a_long_search_is_made_anew_in_pieces_between_which_others_append(
    path: Path, draft: DraftMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And if it is cut off between two, the next one goes on."""
    monkeypatch.setattr("journal.search.AT_ONCE", 2)
    with closing(Journal.open_for_append(path)) as journal:
        uuids = [draft.uuid() for _ in range(9)]
        for uuid in uuids:  # those that end in another order than that in which they began
            journal.append([draft(uuid, TransactionStarted("upgrade", message="long"))])
        for uuid in reversed(uuids):
            journal.append([draft(uuid, TransactionUnchanged("No change."))])
        journal.update_search()
    said = _searched(path, "layer OR long OR change OR nosuch")
    take_in, pieces = search.take_in, []

    def other(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        pieces.append(numbers)
        if len(pieces) == 4:
            raise KeyboardInterrupt
        take_in(connection, numbers)

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE search")
        connection.commit()
    with monkeypatch.context() as patch, closing(Journal.open_for_append(path)) as journal:
        patch.setattr(search, "take_in", other)
        with pytest.raises(KeyboardInterrupt):
            journal.update_search()
    assert 0 < len(_searched(path, "layer OR long OR change OR nosuch")) < len(said)
    with closing(Journal.open_for_append(path)) as journal:
        assert not journal.update_search()
        assert journal.wrongly_searched(journal.position) == []
    assert _searched(path, "layer OR long OR change OR nosuch") == said


def test_the_sqlite_shell_reads_the_views(path: Path) -> None:
    query = "SELECT outcome, message FROM failures"
    command = ["sqlite3", "-readonly", "-json", str(path), query]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [{"outcome": "refused", "message": "Packages not found: nosuch"}]


def test_sqlite_utils_reads_the_views(path: Path) -> None:
    command = [sys.executable, "-m", "sqlite_utils", "rows", str(path), "requested"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)
    assert (row["change"], row["request"], row["transaction_number"]) == ("added", "strace", 2)


def test_a_journal_of_the_first_schema_gets_the_views_over_what_it_holds(path: Path, draft: DraftMaker) -> None:
    journal = Journal.open_for_append(path)
    before = [record for _, record in journal.records()]
    journal.close()
    first = path.with_name("first.db")
    _first_schema(first, before, path)
    Journal.open(first).close()  # readable as it is
    journal = Journal.open_for_append(first)
    journal.append([draft(draft.uuid(), TransactionStarted("upgrade"))])
    journal.close()
    connection = sqlite3.connect(first)
    assert connection.execute("SELECT count(*) FROM history").fetchone() == (4,)
    found = connection.execute("SELECT transaction_number FROM search WHERE search MATCH 'nosuch'")
    assert found.fetchall() == [(3,)]


def test_a_journal_of_the_third_schema_is_brought_to_the_present_one(tmp_path: Path, draft: DraftMaker) -> None:
    path = tmp_path / "layer/journal.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, 3)
    with closing(Journal.open(path)) as journal:
        assert list(check_schema(journal)) == []
    short_history(path, draft)
    with closing(Journal.open(path)) as journal:
        assert journal.schema_version == SCHEMA_VERSION
        assert list(check_schema(journal)) == []
        assert journal.wrongly_searched(journal.position) == []
    assert _searched(path, "nosuch") == [3]


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM _sqlite_migrations",
        "DELETE FROM _sqlite_migrations WHERE name = 'm003_append_only'",
        "DROP TABLE _sqlite_migrations",
        "ALTER TABLE _sqlite_migrations RENAME COLUMN applied_at TO x",
    ],
)
def test_no_migration_is_applied_twice_where_their_list_was_altered(
    tmp_path: Path, version: int, statement: str
) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, version)
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(JournalCorrupt, match=f"lacks .*m003_append_only.*, which schema version {version} has"):
        Journal.open_for_append(path)
    assert path.read_bytes() == before


def test_a_journal_of_the_present_schema_is_appended_to_whatever_its_list_of_migrations_says(
    path: Path, draft: DraftMaker
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM _sqlite_migrations")
        connection.commit()
    with closing(Journal.open_for_append(path)) as journal:
        journal.append([draft(draft.uuid(), TransactionStarted("upgrade"))])
        assert journal.position == 10


def _first_schema(path: Path, records: list[str], source: Path) -> None:
    """A journal as the first version of layer made it, with these records."""
    from sqlite_utils import Database

    from journal import schema

    connection = sqlite3.connect(path)
    database = Database(connection)
    for migration in (schema.m001_events, schema.m002_nodes, schema.m003_append_only, schema.m004_snapshots):
        migration(database)
    connection.executescript(
        "CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT, applied_at TEXT);"
        "PRAGMA application_id = 0x4C617972; PRAGMA user_version = 1"
    )
    names = ("m001_events", "m002_nodes", "m003_append_only", "m004_snapshots")
    connection.executemany(
        "INSERT INTO _sqlite_migrations VALUES ('layer.journal', ?, '2026-11-23')", [(name,) for name in names]
    )
    connection.execute("ATTACH ? AS source", (str(source),))
    connection.executemany("INSERT INTO events (record) VALUES (?)", [(record,) for record in records])
    connection.execute("INSERT INTO nodes SELECT * FROM source.nodes")
    connection.commit()
    connection.close()
