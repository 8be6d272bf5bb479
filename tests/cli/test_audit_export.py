"""`layer audit export`: the journal in the formats of others, judged by their own specifications."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from journal.store import Journal
from tests.cli.conftest import Layer
from tests.drafts import STRACE


def exported(layer: Layer, format_: str, *more: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in layer("audit", "export", "--format", format_, *more).stdout.splitlines()]


def test_json_lines_are_the_records_and_hash_to_the_leaves(layer: Layer, journal_path: Path) -> None:
    lines = layer("audit", "export").stdout.splitlines()
    leaves = [hashlib.sha256(b"\0" + line.encode()).digest() for line in lines]
    stored = sqlite3.connect(journal_path).execute("SELECT hash FROM nodes WHERE level = 0 ORDER BY idx")
    assert leaves == [each for (each,) in stored]


def test_cloudevents_have_what_the_specification_asks_for_and_the_record_unaltered(
    layer: Layer, journal_path: Path
) -> None:
    records = [record for _, record in Journal.open(journal_path).records()]
    lines = layer("audit", "export", "--format", "cloudevents").stdout.splitlines()
    assert len(lines) == len(records)
    for line, record in zip(lines, records, strict=True):
        event = json.loads(line)
        assert event["specversion"] == "1.0"
        assert all(isinstance(event[name], str) and event[name] for name in ("id", "source", "type", "subject"))
        assert datetime.fromisoformat(event["time"][:26] + "+00:00")
        assert all(name.isalnum() and name.islower() for name in event)  # as attributes have to be named
        assert line.endswith(f'"data":{record}}}')
    sequences = [json.loads(line)["sequence"] for line in lines]
    assert sequences == sorted(sequences)
    assert len({json.loads(line)["id"] for line in lines}) == len(lines)


def test_ocsf_tells_of_an_installation_an_inventory_and_a_refusal(layer: Layer) -> None:
    events = exported(layer, "ocsf")
    found = {(each["class_uid"], each["activity_id"], each["status_id"]): each for each in events}
    assert set(found) == {(5020, 2, 1), (6002, 1, 1), (6002, 1, 2)}
    assert found[5020, 2, 1]["package"]["name"] == "zlib"
    installed = found[6002, 1, 1]
    assert installed["app"] == {
        "name": "strace",
        "version": "6.1-1",
        "uid": STRACE.nevra,
        "vendor_name": "updates",
    }
    assert installed["actor"]["user"] == {"uid": "0", "name": "root"}
    assert found[6002, 1, 2]["message"] == "Packages not found: nosuch"
    for each in events:
        assert each["type_uid"] == each["class_uid"] * 100 + each["activity_id"]
        assert each["category_uid"] == each["class_uid"] // 1000
        assert each["metadata"]["version"] == "1.8.0"
        # 15:06:41 UTC on 2025-06-15 is when the history begins; milliseconds since the epoch are what OCSF counts.
        assert 0 < each["time"] - 1_750_000_000_000 < 60_000
    assert len({each["metadata"]["uid"] for each in events}) == len(events)


def test_csv_has_a_row_for_each_event_and_its_payload_as_json(layer: Layer) -> None:
    header, *rows = csv.reader(layer("audit", "export", "--format", "csv").stdout.splitlines())
    assert len(rows) == 9
    first = dict(zip(header, rows[3], strict=True))
    assert (first["type"], first["user"], first["transaction"]) == ("transaction-started", "root", "2")
    assert json.loads(first["payload"])["message"] == "CHG-1042: look at syscalls"


def test_filters_choose_what_is_exported(layer: Layer) -> None:
    assert {each["transaction"] for each in exported(layer, "jsonl", "--failed")} == {3}


def test_a_copy_is_a_journal_of_its_own_with_the_same_root(layer: Layer, journal_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    layer("audit", "export", "--format", "sqlite", "-o", copy)
    assert Journal.open(copy).root_hash == Journal.open(journal_path).root_hash
    assert sqlite3.connect(copy).execute("SELECT count(*) FROM history").fetchone() == (3,)
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("format_", ["jsonl", "sqlite"])
def test_nothing_is_written_over(layer: Layer, tmp_path: Path, format_: str) -> None:
    there = tmp_path / "there"
    there.write_text("kept")
    done = layer("audit", "export", "--format", format_, "-o", there, check=False)
    assert done.returncode == 1
    assert "File exists" in done.stderr
    assert there.read_text() == "kept"


@pytest.mark.parametrize("arguments", [("--format", "sqlite"), ("--format", "sqlite", "-o", "x", "--failed")])
def test_a_copy_that_makes_no_sense_is_a_usage_error(layer: Layer, arguments: tuple[str, ...]) -> None:
    assert layer("audit", "export", *arguments, check=False).returncode == 2
