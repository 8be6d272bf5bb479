"""Every way of tampering with a journal is found, and the event that it is about is named."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from journal import errors, head_verification, heads, merkle, search
from journal import verification as journal_verification
from journal.events import RequestsChanged, TransactionCommitted, TransactionStarted
from journal.findings import Finding
from journal.schema import migrate
from journal.store import Journal
from journal.values import Request
from layering import verification
from layering.verification import verify
from projections.host import fold
from projections.points import SNAPSHOT, at
from tests.drafts import DraftMaker

TRANSACTIONS = 8
EVENTS = 3 * TRANSACTIONS
"""Each transaction has three events, so that event 3n-2 begins transaction n. Each append is signed."""

Found = list[tuple[str, int | None, int | None]]


def make(path: Path, draft: DraftMaker, transactions: int = TRANSACTIONS, signed: bool = True) -> Path:
    journal = Journal.open_for_append(path)
    for number in range(transactions):
        uuid = draft.uuid()
        request = Request(f"package-{number}")
        journal.append([draft(uuid, TransactionStarted("pkg-add", (request.spec,)))])
        if number == 0 and signed:
            heads.sign_head(journal)
        journal.append([draft(uuid, RequestsChanged(added=(request,))), draft(uuid, TransactionCommitted("d.0"))])
        journal.update_search()
    journal.close()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made") / "layer/journal.db", DraftMaker())


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.parent, tmp_path / "layer")) / made.name


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as root can open it: what stands in the way is taken away, and put back after."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


def hash_anew(connection: sqlite3.Connection) -> None:
    """Put the whole tree right again, as whoever knows how would."""
    connection.execute("DELETE FROM nodes")
    nodes: dict[tuple[int, int], bytes] = {}
    for index, (record,) in enumerate(connection.execute("SELECT record FROM events ORDER BY position").fetchall()):
        leaf = merkle.leaf_hash(record.encode())
        for level, position, digest in merkle.completed_by(index, leaf, lambda lv, ix: nodes[lv, ix]):
            nodes[level, position] = digest
            connection.execute("INSERT INTO nodes VALUES (?, ?, ?)", (level, position, digest))


def found(path: Path, **given: object) -> Found:
    report = verify(path, **given)  # type: ignore[arg-type]
    return [(each.kind, each.position, each.transaction) for each in report.findings]


def edit(connection: sqlite3.Connection, position: int) -> None:
    connection.execute(
        "UPDATE events SET record = replace(record, 'layer pkg-add strace', 'layer pkg-add nmap') WHERE position = ?",
        (position,),
    )


def test_a_journal_that_nobody_touched_is_well(path: Path) -> None:
    report = verify(path)
    assert report.findings == ()
    assert (report.events, report.transactions) == (EVENTS, TRANSACTIONS)
    assert report.root_hash == Journal.open(path).root_hash.hex()


def test_an_empty_journal_and_one_without_a_key_are_well(tmp_path: Path) -> None:
    Journal.open_for_append(tmp_path / "a/journal.db").close()
    assert found(tmp_path / "a/journal.db") == []
    assert found(make(tmp_path / "b/journal.db", DraftMaker(), signed=False)) == []


def test_a_journal_of_the_first_schema_is_well(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    migrate(connection, 1)
    connection.close()
    assert found(tmp_path / "journal.db") == []


@pytest.mark.parametrize("position", [1, 5, EVENTS])
def test_an_edited_event_is_named(path: Path, position: int) -> None:
    with tampering(path) as connection:
        edit(connection, position)
    assert found(path) == [("altered", position, (position + 2) // 3)]


def test_each_of_several_edited_events_is_named(path: Path) -> None:
    with tampering(path) as connection:
        for position in (4, 9, 10):
            edit(connection, position)
    assert found(path) == [("altered", 4, 2), ("altered", 9, 3), ("altered", 10, 4)]


@pytest.mark.parametrize(("position", "first"), [(4, 4), (5, 5), (6, 5), (EVENTS, EVENTS - 1)])
def test_an_edit_that_was_hashed_anew_is_led_back_to_the_append_that_was_signed(
    path: Path, position: int, first: int
) -> None:
    with tampering(path) as connection:
        edit(connection, position)
        hash_anew(connection)
    assert found(path) == [("rewritten", first, (first + 2) // 3)]


def test_an_edit_of_the_first_event_that_was_hashed_anew_makes_another_log(path: Path) -> None:
    with tampering(path) as connection:
        edit(connection, 1)
        hash_anew(connection)
    assert found(path) == [("rewritten", 1, 1), ("another-log", 1, None)]


def test_a_deleted_event_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("DELETE FROM events WHERE position = 5")
    assert found(path) == [("missing", 5, None)]


def test_deleted_events_whose_gap_was_closed_are_found(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("DELETE FROM events WHERE position IN (7, 8, 9)")
        for position in range(10, EVENTS + 1):
            connection.execute(
                "UPDATE events SET record = json_set(record, '$.position', ?) WHERE position = ?",
                (position - 3, position),
            )
        connection.execute("DELETE FROM nodes")
        hash_anew(connection)
    kinds = found(path)
    assert ("rewritten", 7, 4) in kinds
    assert ("truncated", EVENTS - 2, None) in kinds


def test_an_event_that_layer_did_not_append_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute(
            "INSERT INTO events (record) SELECT json_set(record, '$.position', ?, '$.event_id', 'x')"
            " FROM events WHERE position = 3",
            (EVENTS + 1,),
        )
    assert ("inserted", EVENTS + 1, 1) in found(path)


def test_an_event_that_was_appended_and_hashed_but_not_signed_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute(
            "INSERT INTO events (record) SELECT json_set(record, '$.position', ?, '$.event_id', 'x')"
            " FROM events WHERE position = 3",
            (EVENTS + 1,),
        )
        hash_anew(connection)
    assert found(path) == [("unsigned", EVENTS + 1, None)]


def test_a_second_event_at_a_position_is_named(path: Path) -> None:
    with tampering(path) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events_position'").fetchone()
        connection.execute("DROP INDEX events_position")
        connection.execute(
            "INSERT INTO events (record) SELECT json_set(record, '$.event_id', 'x') FROM events WHERE position = 5"
        )
        connection.execute(sql.replace("UNIQUE ", ""))
    assert set(found(path)) == {("schema", None, None), ("inserted", 5, 2)}


def test_events_that_changed_places_are_named(path: Path) -> None:
    with tampering(path) as connection:
        for old, new in ((5, 1000), (8, 5), (1000, 8)):
            connection.execute("UPDATE events SET rowid = ? WHERE rowid = ?", (new, old))
    named = found(path)
    assert {position for _, position, _ in named} <= set(range(5, 9))
    assert ("reordered", 5, 2) in named


def test_events_that_exchanged_their_content_are_named(path: Path) -> None:
    with tampering(path) as connection:
        records = dict(connection.execute("SELECT position, record FROM events WHERE position IN (5, 8)").fetchall())
        ids = {position: json.loads(record)["event_id"] for position, record in records.items()}
        for position, other in ((5, 8), (8, 5)):
            changed = json.loads(records[other]) | {"position": position, "event_id": ids[position]}
            connection.execute(
                "UPDATE events SET record = ? WHERE position = ?",
                (json.dumps(changed, separators=(",", ":")), position),
            )
    assert [(kind, position) for kind, position, _ in found(path)] == [("altered", 5), ("altered", 8)]


def test_a_record_whose_transaction_is_none_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE events SET record = json_set(record, '$.transaction', 1.5) WHERE position = 5")
    assert ("altered", 5, None) in found(path)


# Truncation


def cut(connection: sqlite3.Connection, after: int) -> None:
    for table, column in (("events", "position"), ("search", "rowid")):
        connection.execute(f"DELETE FROM {table} WHERE {column} > ?", (after,))  # noqa: S608 - two names of our own
    hash_anew(connection)


def test_an_end_that_was_cut_off_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("DELETE FROM events WHERE position > 20")
    named = found(path)
    assert ("missing", 21, None) in named
    assert ("truncated", 21, None) in named


def test_an_end_that_was_cut_off_with_its_hashes_is_met_by_the_signed_head(path: Path) -> None:
    with tampering(path) as connection:
        cut(connection, 20)
    assert found(path) == [("truncated", 21, None)]


def forget_heads(connection: sqlite3.Connection, after: int) -> None:
    connection.execute("DELETE FROM checkpoints WHERE size > ?", (after,))
    connection.execute("DELETE FROM head")
    connection.execute(
        "INSERT INTO head (id, note) SELECT 1, note FROM checkpoints ORDER BY number DESC LIMIT 1",
    )


def test_without_its_later_heads_a_cut_off_journal_is_met_by_the_checkpoint_beside_it(path: Path) -> None:
    journal = Journal.open_for_append(path)
    heads.sign_head(journal)
    journal.close()
    with tampering(path) as connection:
        cut(connection, 21)
        forget_heads(connection, 21)
    assert found(path) == [("truncated", 22, None)]


def test_whoever_removes_every_kept_head_is_not_found_but_by_one_kept_elsewhere(path: Path, tmp_path: Path) -> None:
    """The limit that witnesses are for: docs/audit.md says so."""
    journal = Journal.open_for_append(path)
    kept = str(heads.sign_head(journal))
    journal.close()
    with tampering(path) as connection:
        cut(connection, 21)
        forget_heads(connection, 21)
    path.with_name("checkpoint").unlink()
    assert found(path) == []
    assert found(path, kept=[("kept elsewhere", kept)]) == [("truncated", 22, None)]


def test_an_older_copy_put_in_place_is_met_by_the_checkpoint_beside_it(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "old.db")
    journal = Journal.open_for_append(path)
    draft = DraftMaker()
    journal.append([draft(draft.uuid(), TransactionStarted("upgrade"))])
    heads.sign_head(journal)
    journal.close()
    assert found(path) == []
    shutil.copy(tmp_path / "old.db", path)
    assert found(path) == [("truncated", EVENTS + 1, None)]


def test_two_journals_that_were_swapped_are_found(path: Path, tmp_path: Path) -> None:
    draft = DraftMaker()
    draft.clock.now += 10**18
    other = make(tmp_path / "other/journal.db", draft)
    shutil.move(path, tmp_path / "aside")
    shutil.move(other, path)
    shutil.move(tmp_path / "aside", other)
    for each in (path, other):
        named = {(kind, position) for kind, position, _ in found(each)}
        assert ("another-log", 1) in named
        assert named <= {("another-log", 1), ("rewritten", 1), ("truncated", EVENTS + 1)}


# The tree, the heads, the key


@pytest.mark.parametrize("kind", ["transaction-pinned", "transaction-started"])
@pytest.mark.parametrize(("row", "position"), [(-5, -5), (0, 0), (-5, "x")])
def test_an_event_in_a_row_ahead_of_the_first_is_named(
    path: Path, ways: None, row: int, position: int | str, kind: str
) -> None:
    with tampering(path) as connection:
        connection.execute(
            "INSERT INTO events (rowid, record)"
            " SELECT ?, json_set(record, '$.position', ?, '$.event_id', 'x', '$.type', ?) FROM events"
            " WHERE position = 5",
            (row, position, kind),
        )
    assert found(path)[0] == ("corrupt", 1, None)
    with pytest.raises(errors.JournalAltered):
        verification.require_unaltered(path, EVENTS)


def test_a_row_and_a_record_that_claim_a_position_far_away_are_named(path: Path, ways: None) -> None:
    far = (1 << 62) - 1
    with tampering(path) as connection:
        connection.execute(
            "UPDATE events SET record = replace(record, ?, ?), rowid = ? WHERE position = ?",
            (f'{{"position":{EVENTS},', f'{{"position":{far},', far, EVENTS),
        )
    assert found(path)[:2] == [("inserted", far, TRANSACTIONS), ("missing", EVENTS, None)]


@pytest.mark.parametrize("field", ["position", "transaction"])
@pytest.mark.parametrize("claimed", ['"x"', "[1]", "{}"])
def test_a_last_record_that_has_something_else_for_a_number_is_named(
    path: Path, ways: None, field: str, claimed: str
) -> None:
    with tampering(path) as connection:
        connection.execute(
            "UPDATE events SET record = json_set(record, ?, json(?)) WHERE position = ?",
            (f"$.{field}", claimed, EVENTS),
        )
    assert found(path)[0][:2] == ("corrupt" if field == "position" else "altered", EVENTS)


@pytest.mark.parametrize("changed", ["boundary", "joined"])
def test_hashes_that_are_parted_in_another_place_are_found(
    path: Path, ways: None, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they are the bytes that they should be."""
    monkeypatch.setattr(verification, "_DEEP_AT_MOST", 0)
    with tampering(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        query = "SELECT hash FROM nodes WHERE level = 0 AND idx IN (4, 5) ORDER BY idx"
        both = b"".join(digest for (digest,) in connection.execute(query))
        if changed == "joined":
            connection.execute("DELETE FROM nodes WHERE level = 0 AND idx = 5")
        for index, digest in ((4, both if changed == "joined" else both[:33]), (5, both[33:])):
            connection.execute("UPDATE nodes SET hash = ? WHERE level = 0 AND idx = ?", (digest, index))
    assert found(path) == [("tree", 5, None), ("inserted", 6, 2) if changed == "joined" else ("tree", 6, None)]


def test_rows_that_were_moved_are_named_and_nothing_is_passed_over_for_it(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE events SET rowid = rowid + 1 WHERE position = ?", (EVENTS,))
    assert found(path) == [("reordered", EVENTS, TRANSACTIONS)]


@pytest.mark.parametrize("claimed", ["0", "-5", "9223372036854775807", "123456789012345678901234567890", "1e300"])
def test_a_record_that_claims_a_position_that_none_has_is_named(path: Path, claimed: str) -> None:
    with tampering(path) as connection:
        connection.execute(
            "UPDATE events SET record = replace(record, '{\"position\":5,', ?) WHERE position = 5",
            (f'{{"position":{claimed},',),
        )
    assert found(path)[:2] == [("corrupt", 5, None), ("missing", 5, None)]


def test_a_hash_of_another_length_that_is_over_nothing_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO nodes VALUES (9223372036854775807, 9223372036854775807, x'00')")
    assert found(path) == [("tree", EVENTS + 1, None)]


@pytest.mark.parametrize(("level", "index"), [(0, -1), (3, -7), (40, -1)])
def test_a_hash_before_those_of_the_first_event_is_named(path: Path, level: int, index: int) -> None:
    with tampering(path) as connection:
        connection.execute("INSERT INTO nodes VALUES (?, ?, zeroblob(32))", (level, index))
    assert found(path) == [("tree", None, None)]


@pytest.mark.parametrize(("level", "index"), [(1, EVENTS // 2), (4, 1), (60, 0), (-1, 0)])
def test_a_hash_that_stands_in_the_way_of_what_comes_is_named(path: Path, level: int, index: int) -> None:
    with tampering(path) as connection:
        connection.execute("INSERT INTO nodes VALUES (?, ?, zeroblob(32))", (level, index))
    assert found(path) == [("tree", EVENTS + 1, None)]


def test_an_altered_hash_of_an_event_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 0 AND idx = 4")
    assert ("altered", 5, 2) in found(path)


def test_an_altered_hash_in_the_tree_is_named_by_the_events_below_it(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2 AND idx = 1")
    named = found(path)
    assert named[0] == ("tree", 5, None)


@pytest.mark.parametrize("level", [0, 1, 4])
def test_a_missing_hash_is_named(path: Path, level: int) -> None:
    with tampering(path) as connection:
        connection.execute("DELETE FROM nodes WHERE level = ? AND idx = 0", (level,))
    assert found(path)[0][:2] == ("inserted" if level == 0 else "tree", 1)


def test_an_edited_checkpoint_is_found(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE checkpoints SET note = replace(note, '\n6\n', '\n7\n')")
    assert "not-signed" in {kind for kind, _, _ in found(path)}


@pytest.mark.parametrize("statement", ["UPDATE head SET note = ", "UPDATE checkpoints SET note = "])
def test_a_checkpoint_that_is_no_text_any_more_is_found(path: Path, statement: str) -> None:
    with tampering(path) as connection:
        connection.execute(f"{statement} CAST(x'ff00fe' AS TEXT)")
    assert ("note-malformed", None, None) in found(path)


def test_a_checkpoint_beside_the_journal_that_is_no_text_any_more_is_found(path: Path) -> None:
    path.with_name("checkpoint").write_bytes(b"\xff\x00\xfe")
    assert found(path) == [("note-malformed", None, None)]


def test_a_head_that_was_taken_away_is_found(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("DELETE FROM head")
    assert found(path) == [("unsigned", 1, None)]


def test_a_key_that_was_taken_away_is_found_and_can_be_given(path: Path) -> None:
    key = heads.verifier_of(Journal.open(path))
    path.with_name("signing.vkey").unlink()
    assert found(path) == [("no-key", None, None)]
    assert found(path, key=key) == []


@pytest.mark.parametrize("damage", ["rubbish", "directory", "pipe"])
@pytest.mark.parametrize(("name", "hidden"), [("signing.vkey", {"unsigned"}), ("checkpoint", set())])
def test_a_key_or_checkpoint_beside_the_journal_that_is_none_is_found_and_all_else_is_checked(
    path: Path, damage: str, name: str, hidden: set[str]
) -> None:
    key = heads.verifier_of(Journal.open(path))
    beside = path.with_name(name)
    beside.unlink(missing_ok=True)
    if damage == "rubbish":
        beside.write_bytes(b"\xff\x00\xfe")
    elif damage == "directory":
        beside.mkdir()
    else:
        os.mkfifo(beside)
    kind = "note-malformed" if (name, damage) == ("checkpoint", "rubbish") else "key-unusable"
    assert found(path) == [(kind, None, None)]
    assert found(path, key=key) == ([] if name == "signing.vkey" else [(kind, None, None)])
    with tampering(path) as connection:
        edit(connection, 5)
        connection.execute("DELETE FROM head")
    assert {each for each, _, _ in found(path)} == {kind, "altered", "unsigned"} - hidden


def test_a_rewritten_history_signed_by_another_key_is_found_by_the_key_kept_elsewhere(path: Path) -> None:
    key = heads.verifier_of(Journal.open(path))
    with tampering(path) as connection:
        edit(connection, 5)
        hash_anew(connection)
        connection.execute("DELETE FROM checkpoints")
        connection.execute("DELETE FROM head")
    for name in ("signing.key", "signing.vkey", "checkpoint"):
        path.with_name(name).unlink()
    journal = Journal.open_for_append(path)
    heads.sign_head(journal)
    journal.close()
    assert found(path) == []
    assert {kind for kind, _, _ in found(path, key=key)} == {"not-signed"}


# The schema


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER events_no_update",
        "DROP TRIGGER checkpoints_no_delete",
        "DROP INDEX events_transaction",
        "CREATE VIEW more_history AS SELECT 1",
        "DROP VIEW history",
        "CREATE TABLE more (x)",
        "CREATE TRIGGER more AFTER INSERT ON events BEGIN SELECT 1; END",
        "CREATE TRIGGER _sqlite_more BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW _sqlite_migrations_of_mine AS SELECT 1",
        "DROP TABLE snapshots",
    ],
)
def test_a_changed_schema_is_found(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    assert ("schema", None, None) in found(path)


def test_generated_columns_that_were_replaced_are_found(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, '$.type', '$.command_line') WHERE name = 'events'")
    connection.close()
    assert found(path) == [("schema", None, None)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM _sqlite_migrations", "lacks m001_events, m002_nodes, m003_append_only, m004_snapshots"),
        ("DELETE FROM _sqlite_migrations WHERE name = 'm003_append_only'", "lacks m003_append_only"),
        ("UPDATE _sqlite_migrations SET migration_set = 'x' WHERE id = 2", "lacks m002_nodes"),
        ("UPDATE _sqlite_migrations SET name = 'm9' WHERE id = 2", "has too many: m9"),
        ("UPDATE _sqlite_migrations SET name = CAST(x'ff' AS TEXT) WHERE id = 2", "has too many: \ufffd"),
        ("ALTER TABLE _sqlite_migrations RENAME COLUMN name TO x", "lacks m001_events"),
        ("DROP TABLE _sqlite_migrations", "lacks m001_events"),
    ],
)
def test_a_changed_list_of_migrations_is_found(path: Path, statement: str, message: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    assert {kind for kind, _, _ in found(path)} == {"schema"}
    assert any(f"The list of applied migrations {message}" in each.message for each in verify(path).findings)


def test_a_trigger_under_a_name_of_sqlites_own_is_found(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TRIGGER more BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_schema SET name = 'sqlite_more', sql = replace(sql, ' more ', ' sqlite_more ')"
        " WHERE name = 'more'"
    )
    connection.close()
    assert [each.message for each in verify(path).findings] == ["The trigger sqlite_more is none of layer's"]


def test_another_application_id_makes_it_a_foreign_file(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA application_id = 1")
    connection.close()
    with pytest.raises(errors.JournalForeign, match="application_id is 0x1"):
        verify(path)


def test_an_earlier_schema_version_than_it_has_is_found(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert ("schema", None, None) in found(path)


def reindex_without(path: Path, index: str, condition: str) -> None:
    """Make an index leave events out, and its text in the schema be what it was."""
    with tampering(path) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
        joint = "AND" if "WHERE" in sql else "WHERE"
        connection.execute(f"DROP INDEX {index}")
        connection.execute(f"{sql} {joint} {condition}")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, index))
        connection.execute("PRAGMA writable_schema = RESET")


@pytest.mark.parametrize(
    "index", ["events_position", "events_event_id", "events_transaction", "events_transaction_uuid"]
)
@pytest.mark.parametrize("transaction", [3, TRANSACTIONS])
def test_an_index_that_hides_events_is_found(path: Path, index: str, transaction: int) -> None:
    reindex_without(path, index, f"transaction_number <> {transaction}")
    assert set(found(path)) == {("index", None, None)}


def test_an_index_that_hides_an_outcome_is_found_by_the_deep_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_DEEP_AT_MOST", 0)
    reindex_without(path, "events_outcome", "transaction_number <> 3")
    assert found(path) == []
    assert set(found(path, deep=True)) == {("index", None, None)}


def test_the_deep_check_finds_nothing_where_nobody_touched_anything(path: Path) -> None:
    assert found(path, deep=True) == []


def test_a_view_that_was_edited_is_named(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'history'").fetchone()
    connection.execute("DROP VIEW history")
    connection.execute(sql.replace("WHERE", "WHERE 1 <> 0 AND", 1) if "WHERE" in sql else sql + " LIMIT 2")
    connection.close()
    assert [each.message for each in verify(path).findings] == ["The view history is not as layer made it"]


def test_an_event_of_which_the_search_was_edited_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("UPDATE search SET command_line = 'layer pkg-add nmap' WHERE rowid = 4")
        connection.execute("DELETE FROM search WHERE rowid = 7")
    assert found(path) == [("search", 4, 2), ("search", 7, 3)]


def test_an_event_that_the_search_was_made_not_to_find_is_named(path: Path) -> None:
    with tampering(path) as connection:
        (kept,) = connection.execute("SELECT c0 FROM search_content WHERE id = 4").fetchone()
        connection.execute("UPDATE search SET command_line = 'layer status' WHERE rowid = 4")
        connection.execute("UPDATE search_content SET c0 = ? WHERE id = 4", (kept,))
    assert found(path) == [("search", 4, 2)]


def test_a_transaction_that_the_search_lost_is_named_unless_it_was_the_last_to_end(path: Path) -> None:
    def lost(position: int) -> Found:
        with tampering(path) as connection:
            connection.execute("DELETE FROM search WHERE rowid >= ?", (position,))
        return found(path)

    last = EVENTS - 2
    assert lost(last) == []  # as a crash may leave it
    assert lost(last - 3) == [("search", last - 3, TRANSACTIONS - 1)]
    assert [each.message for each in verify(path).findings] == [
        f"What the search has of events {last - 3} to {last - 2} is not what their records say"
    ]
    with closing(Journal.open_for_append(path)) as journal:
        journal.update_search()
    assert found(path) == []


def searches(path: Path, *statements: str) -> list[str]:
    """Do this to the search; what is told of it then."""
    with tampering(path) as connection:
        for statement in statements:
            connection.execute(statement)
    findings = verify(path).findings
    assert {each.kind for each in findings} <= {"search"}
    return [each.message for each in findings]


@pytest.mark.parametrize("statement", ["DELETE FROM search", "DELETE FROM search_content"])
def test_a_search_that_was_emptied_is_one_finding(path: Path, statement: str) -> None:
    last = EVENTS - 4  # of the transactions but the last, which a crash may have kept out, what is searched
    message = f"What the search has of events 1 to {last} is not what their records say"
    assert searches(path, statement) == [message]
    assert found(path) == [("search", 1, 1)]


def test_what_the_search_has_rightly_parts_what_it_lost(path: Path) -> None:
    assert searches(path, "DELETE FROM search WHERE transaction_number IN (2, 3, 5)") == [
        "What the search has of events 4 to 8 is not what their records say",
        "What the search has of events 13 to 14 is not what their records say",
    ]
    assert found(path) == [("search", 4, 2), ("search", 13, 5)]


def test_what_the_search_has_of_events_that_are_not_there_is_named(path: Path) -> None:
    insert = "INSERT INTO search (rowid, transaction_number) VALUES"
    assert searches(path, f"{insert} (-3, x'00ff')", f"{insert} (9223372036854775807, 'x')") == [
        "What the search has of event -3 is not what its record says",
        "What the search has of event 9223372036854775807 is not what its record says",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM search_config",
        "DELETE FROM search_data",
        "DELETE FROM search_data WHERE id = 1",
        "DELETE FROM search_data WHERE id = 10",
        "DELETE FROM search_data WHERE id > 10",
        "INSERT INTO search (search, rank) VALUES ('rank', 'bm25(0.0)')",
        "INSERT INTO search_config VALUES ('rank', 'other()')",
    ],
)
def test_a_search_that_cannot_be_used_as_layer_made_it_is_one_finding(path: Path, statement: str) -> None:
    (message,) = searches(path, statement)
    assert "search is damaged" in message


def test_a_search_that_finds_no_word_by_its_index_is_found(path: Path) -> None:
    def number_found() -> int:
        with closing(sqlite3.connect(path)) as connection:
            return len(connection.execute("SELECT 1 FROM search WHERE search MATCH 'strace'").fetchall())

    small_pages = "INSERT INTO search (search, rank) VALUES ('pgsz', 64)"  # so that there is something to look up
    rebuild = "INSERT INTO search (search) VALUES ('rebuild')"
    assert searches(path, small_pages, rebuild, "DELETE FROM search_config WHERE k = 'pgsz'") == []
    assert number_found() > 0
    assert searches(path, "DELETE FROM search_idx") == ["The index of the search is damaged"]
    assert number_found() == 0


@pytest.mark.parametrize("part", ["data", "idx", "content", "config"])
def test_where_a_table_of_the_search_is_gone_the_events_are_checked_all_the_same(path: Path, part: str) -> None:
    with tampering(path) as connection:
        connection.execute(f"DROP TABLE search_{part}")
        edit(connection, 5)
    assert found(path) == [("schema", None, None), ("altered", 5, 2)]


def test_what_is_appended_while_it_is_checked_is_no_finding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = DraftMaker()
    draft.clock.now += 1_000_000_000_000

    def meanwhile(check: Callable[..., Iterable[Finding]]) -> Callable[..., Iterable[Finding]]:
        def after_an_append(*given: object) -> Iterator[Finding]:
            make(path, draft, 1)
            with closing(Journal.open_for_append(path)) as journal:
                journal.save_snapshot(SNAPSHOT, journal.position, msgspec.json.encode(at(journal)).decode())
            yield from check(*given)

        return after_an_append

    for module, steps in (
        (journal_verification, ("check_records", "check_surplus", "check_index")),
        (head_verification, ("check_checkpoints", "check_head")),
    ):
        for step in steps:
            monkeypatch.setattr(module, step, meanwhile(getattr(module, step)))
    assert found(path) == []
    assert Journal.open(path).transactions == TRANSACTIONS + 4 + len(journal_verification.FULL_INDEXES)


def test_what_comes_into_the_search_while_it_is_checked_is_no_finding(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = DraftMaker()
    draft.clock.now += 1_000_000_000_000
    connect = search.connect_to_read

    class Slow(sqlite3.Connection):
        """Appends a transaction before each of its statements that others need not wait for."""

        def execute(self, *given: Any) -> sqlite3.Cursor:
            if not self.in_transaction:
                make(path, draft, 1)
            return super().execute(*given)

    def slow(path: Path) -> sqlite3.Connection:
        connect(path).close()
        return sqlite3.connect(path, isolation_level=None, factory=Slow)

    monkeypatch.setattr(search, "connect_to_read", slow)
    assert found(path) == []


# Snapshots


@pytest.fixture
def with_snapshots(path: Path) -> Path:
    journal = Journal.open_for_append(path)
    events = list(journal.events())
    with tampering(path) as connection:
        for position in (6, 12, 13, 24):
            state = msgspec.json.encode(fold(events[:position])).decode()
            connection.execute("INSERT INTO snapshots VALUES (?, ?, ?)", (SNAPSHOT, position, state))
    journal.close()
    return path


@pytest.fixture(params=["in one process", pytest.param("in several", marks=pytest.mark.forks)])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that several processes have something to do, whatever there is of processors."""
    if request.param == "in several":
        monkeypatch.setattr("journal.verification.BLOCK", 4)
        monkeypatch.setattr("journal.verification.BLOCK_LEVEL", 2)
        for name, value in (("BLOCK_LEVEL", 2), ("_WORTH_A_PROCESS", 8), ("_RANGE", 4)):
            monkeypatch.setattr(verification, name, value)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})


def test_right_snapshots_are_well(with_snapshots: Path, ways: None) -> None:
    report = verify(with_snapshots)
    assert (report.findings, report.snapshots) == ((), 4)


@pytest.mark.parametrize("position", [6, 12, 13, 24])
def test_an_edited_snapshot_is_named_and_no_other(with_snapshots: Path, ways: None, position: int) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute(
            "UPDATE snapshots SET state = replace(state, 'package-0', 'package-x') WHERE position = ?", (position,)
        )
    assert found(with_snapshots) == [("snapshot", position, (position + 2) // 3)]


@pytest.mark.parametrize("only", [6, 12, 13, 24])
def test_a_snapshot_is_compared_also_where_the_others_were_deleted(with_snapshots: Path, ways: None, only: int) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("DELETE FROM snapshots WHERE position <> ?", (only,))
    assert found(with_snapshots) == []
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE snapshots SET state = replace(state, 'package-0', 'package-x')")
    assert found(with_snapshots) == [("snapshot", only, (only + 2) // 3)]


def test_snapshots_that_changed_places_are_named(with_snapshots: Path, ways: None) -> None:
    with tampering(with_snapshots) as connection:
        for old, new in ((6, 99), (24, 6), (99, 24), (12, 20)):
            connection.execute("UPDATE snapshots SET position = ? WHERE position = ?", (new, old))
    assert [(kind, position) for kind, position, _ in found(with_snapshots)] == [
        ("snapshot", position) for position in (6, 20, 24)
    ]


def test_a_wrong_snapshot_after_a_record_without_a_number_is_named(with_snapshots: Path, ways: None) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE events SET record = json_set(record, '$.transaction', 'x') WHERE position = 11")
        connection.execute("UPDATE snapshots SET state = '{}' WHERE position = 12")
    kinds = [(kind, position) for kind, position, _ in found(with_snapshots)]
    assert kinds[0] == ("altered", 11)


@pytest.mark.parametrize("state", ["rubbish", "{}", '{"position": "twelve"}'])
def test_a_snapshot_that_is_none_is_named(with_snapshots: Path, ways: None, state: str) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE snapshots SET state = ? WHERE position = 12", (state,))
    assert found(with_snapshots) == [("snapshot", 12, 4)]


def test_a_snapshot_of_events_that_are_not_there_is_named(with_snapshots: Path) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE snapshots SET position = 99 WHERE position = 24")
    assert found(with_snapshots) == [("snapshot", 99, None)]


@pytest.mark.parametrize("position", [0, -5])
def test_no_snapshot_of_a_time_before_the_events_leads_the_check_astray(
    with_snapshots: Path, ways: None, position: int
) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE snapshots SET state = replace(state, 'package-0', 'package-x') WHERE position = 12")
        connection.execute("INSERT INTO snapshots VALUES (?, ?, '{\"position\":99}')", (SNAPSHOT, position))
    assert found(with_snapshots) == [("snapshot", 12, 4), ("snapshot", position, None)]


@pytest.mark.parametrize("claimed", [-5, 0, 13, 99])
def test_a_snapshot_that_claims_another_position_is_named_and_no_other(
    with_snapshots: Path, ways: None, claimed: int
) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute(
            "UPDATE snapshots SET state = json_set(state, '$.position', ?) WHERE position = 12", (claimed,)
        )
    assert found(with_snapshots) == [("snapshot", 12, 4)]


def test_a_snapshot_that_is_no_text_is_named(with_snapshots: Path, ways: None) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute("UPDATE snapshots SET state = CAST(x'ff00fe' AS TEXT) WHERE position = 12")
    assert found(with_snapshots) == [("snapshot", 12, 4)]


@pytest.mark.parametrize("position", [2, 5, 8, 11, 14, 23])
def test_an_event_that_no_state_follows_from_is_named_once(with_snapshots: Path, ways: None, position: int) -> None:
    with tampering(with_snapshots) as connection:
        connection.execute(
            "UPDATE events SET record = replace(record, 'requests-changed', 'requests-dreamt') WHERE position = ?",
            (position,),
        )
    assert found(with_snapshots) == [
        ("altered", position, (position + 2) // 3),
        ("event-not-understood", position, None),
    ]


@pytest.mark.parametrize("position", [1, 4, 5, 12, 13, 24])
def test_an_edit_is_named_once_however_the_work_is_spread(path: Path, ways: None, position: int) -> None:
    with tampering(path) as connection:
        edit(connection, position)
    assert found(path) == [("altered", position, (position + 2) // 3)]


@pytest.mark.parametrize("attack", ["DELETE FROM events WHERE position = 14", "DELETE FROM nodes WHERE level > 2"])
def test_what_is_missing_is_found_however_the_work_is_spread(path: Path, ways: None, attack: str) -> None:
    with tampering(path) as connection:
        connection.execute(attack)
    assert found(path)[0][:2] in [("missing", 14), ("tree", 1)]


# Damage


@pytest.mark.parametrize("seed", range(4))
def test_whatever_bytes_are_damaged_the_check_ends_in_words(path: Path, seed: int) -> None:
    chance, sound = Random(seed), path.read_bytes()
    for _ in range(50):
        damaged = bytearray(sound)
        for _ in range(chance.choice((1, 20))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            verify(path)
        except errors.LayerError as error:
            assert str(path) in error.message


def test_a_record_that_is_null_is_named(path: Path) -> None:
    with tampering(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name IN ('events', 'nodes')"
        )
    with tampering(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE events SET record = NULL WHERE position = 5")
        connection.execute("UPDATE nodes SET hash = NULL WHERE level = 1 AND idx = 4")
    assert {("corrupt", 5, None), ("missing", 5, None)} <= {*found(path)}


def test_a_record_that_is_stored_as_no_text_is_named(path: Path, ways: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are the ones that were hashed, and no view can read them."""
    monkeypatch.setattr(verification, "_DEEP_AT_MOST", 0)
    with tampering(path) as connection:
        (strict,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'events'").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'events'")
    with tampering(path) as connection:
        connection.execute("UPDATE events SET record = CAST(record AS BLOB) WHERE position = 5")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'events'", (strict,))
    assert found(path) == [("corrupt", 5, None), ("missing", 5, None)]


def test_a_second_signed_head_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_DEEP_AT_MOST", 0)
    with tampering(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO head (id, note) SELECT 2, note FROM head")
    assert found(path) == [("schema", None, None)]
    assert [each.message for each in verify(path).findings] == ["The table head has 2 rows: layer writes one"]
