"""`layer audit log`: the records as they are stored, and those that come later."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from journal.events import TransactionRefused, TransactionStarted, TransactionUnchanged
from journal.store import Journal
from tests.cli.conftest import Layer
from tests.drafts import DraftMaker


def test_each_line_is_a_record_as_it_was_hashed(layer: Layer, journal_path: Path) -> None:
    records = [record for _, record in Journal.open(journal_path).records()]
    assert layer("audit", "log").stdout.splitlines() == records


def test_as_one_document_it_is_an_array_of_the_records(layer: Layer, journal_path: Path) -> None:
    records = [json.loads(record) for _, record in Journal.open(journal_path).records()]
    assert json.loads(layer("audit", "log", "--json").stdout) == records
    assert json.loads(layer("audit", "log", "--json", "--user", "nobody").stdout) == []
    refused = layer("audit", "log", "--json", "--follow", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")


@pytest.mark.parametrize(
    ("filters", "transactions"),
    [
        (("--failed",), [3, 3]),
        (("--verb", "install"), [2, 2, 2, 2, 3, 3]),
        (("--package", "strace*"), [2, 2, 2, 2]),
        (("--user", "nobody"), []),
        (("--since", "2025-06-15T15:06:50Z"), [3, 3]),
    ],
)
def test_filters_choose_transactions_whole(layer: Layer, filters: tuple[str, ...], transactions: list[int]) -> None:
    lines = layer("audit", "log", *filters).stdout.splitlines()
    assert [json.loads(line)["transaction"] for line in lines] == transactions


def test_a_followed_log_prints_what_is_added_and_judges_a_transaction_when_it_has_ended(
    tmp_path: Path, journal_path: Path, draft: DraftMaker
) -> None:
    command = [Path(sys.executable).parent / "layer", "--sysroot", tmp_path, "audit", "log", "--follow", "--failed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert [json.loads(follower.stdout.readline())["transaction"] for _ in range(2)] == [3, 3]
        journal = Journal.open_for_append(journal_path)
        good, bad = draft.uuid(), draft.uuid()
        journal.append([draft(good, TransactionStarted("upgrade"))])
        journal.append([draft(bad, TransactionStarted("upgrade"))])
        journal.append([draft(good, TransactionUnchanged("No upgrade available."))])
        journal.append([draft(bad, TransactionRefused("sysroot-locked", "Transaction in progress"))])
        followed = [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert [(each["transaction_uuid"], each["position"]) for each in followed] == [(bad, 11), (bad, 13)]
        follower.send_signal(2)
        assert (follower.wait(), follower.stdout.read()) == (0, "")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, journal_path: Path) -> None:
    command = f"{Path(sys.executable).parent}/layer --sysroot '{tmp_path}' audit log | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=True)
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_an_auditor_without_the_right_to_write_reads_it(layer: Layer, journal_path: Path) -> None:
    before = journal_path.read_bytes()
    journal_path.chmod(0o444)
    journal_path.parent.chmod(0o555)
    assert len(layer("audit", "log").stdout.splitlines()) == 9
    assert journal_path.read_bytes() == before


def test_without_a_journal_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "ostree/repo").mkdir(parents=True)
    (tmp_path / "ostree/deploy/os").mkdir(parents=True)
    command = [Path(sys.executable).parent / "layer", "--sysroot", tmp_path, "audit", "log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing was recorded on this host yet" in done.stderr
