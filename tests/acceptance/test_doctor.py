"""Doctor: every difference between journal and host is named, with a remedy that works; and nothing is written."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from typing import Any

import msgspec
import pytest

from journal.events import TransactionStarted
from journal.identifiers import timestamp
from journal.store import Journal
from projections.points import SNAPSHOT
from tests.acceptance.bases import ostree
from tests.acceptance.checks import unchanged
from tests.acceptance.conftest import CopyHost
from tests.acceptance.host import Host
from tests.drafts import DraftMaker


@pytest.fixture
def lived(host: Host) -> Host:
    """1 adopt, 2 add foo, 3 add bar."""
    host.ok("pkg-add", "foo")
    host.ok("pkg-add", "bar")
    return host


def problems(host: Host, *kinds: str) -> list[dict[str, Any]]:
    """What doctor finds, which has to be of these kinds; it writes nothing."""
    journal = host.journal.read_bytes()
    with unchanged(host):
        result = host.run("doctor", "--json", check=3 if kinds else 0)
        said = host.run("doctor", check=3 if kinds else 0).stdout
    assert host.journal.read_bytes() == journal
    found: list[dict[str, Any]] = json.loads(result.stdout)
    assert [each["kind"] for each in found] == list(kinds)
    for each in found:
        assert f"{each['kind']}: {each['message']}\n  {each['remedy']}\n" in said
    return found


def start_another(host: Host, pid: int | None = None, *, ahead: bool = False) -> None:
    """Leave a transaction in the journal that has no outcome."""
    draft = DraftMaker()
    started = draft(draft.uuid(), TransactionStarted("upgrade", pid=pid))
    if ahead:
        started = msgspec.structs.replace(started, recorded_at=timestamp(4_000_000_000_000_000_000))
    journal = Journal.open_for_append(host.journal)
    journal.append([started])
    journal.close()


def test_where_all_is_well_it_says_so(lived: Host) -> None:
    assert problems(lived) == []
    lived.ok("rollback", "2")
    lived.ok("cleanup", "-b", "-r")
    assert lived.ok("doctor").stdout == "The journal and the host agree.\n"


def test_without_a_journal_none_is_made(host: Host) -> None:
    assert "journal-missing" in host.run("doctor", check=3).stdout
    assert not host.journal.exists()


def test_what_another_tool_deployed_is_named_with_what_differs(lived: Host) -> None:
    base = lived.current()["base_commit"]
    lived.admin("deploy", f"--os={lived.stateroot}", base)
    (found,) = problems(lived, "not-observed")
    assert f"commit is {base}, not {lived.history()[-1]['layered_commit']}" in found["message"]
    assert "requested is none, not bar foo" in found["message"]
    lived.ok("sync")
    problems(lived)


def test_an_origin_that_was_edited_is_named(lived: Host) -> None:
    path = lived.deployment()
    path = path.with_name(f"{path.name}.origin")
    path.write_text(path.read_text().replace("requested=bar;foo;", "requested=bar;"))
    (found,) = problems(lived, "not-observed")
    assert "requested is bar, not bar foo" in found["message"]


def test_a_transaction_that_was_cut_off_is_named_until_it_is_recovered(lived: Host) -> None:
    start_another(lived, pid=1)
    (found,) = problems(lived, "cut-off")
    assert "Transaction 4 (upgrade) was cut off; it did not happen" in found["message"]
    lived.ok("sync")
    problems(lived)


def test_a_transaction_that_runs_is_none_of_that(lived: Host) -> None:
    with lived.locked() as pid:
        start_another(lived, pid=pid)
        problems(lived)


def test_commits_that_nothing_holds_or_that_are_gone_are_named(lived: Host, copy_host: CopyHost) -> None:
    of_foo = lived.history()[1]["layered_commit"]
    lived.ok("cleanup", "-r")
    key = next(ref for ref, commit in lived.refs().items() if commit == of_foo and ref.startswith("layer/key/"))
    ostree("refs", "--delete", key, repo=lived.repo)
    (found,) = problems(lived, "ref-missing")
    assert of_foo in found["message"]
    other = copy_host(lived)
    other.ok("cleanup", "-b")
    problems(other)
    ostree("prune", "--refs-only", "--depth=0", repo=lived.repo)
    (found,) = problems(lived, "commit-missing")
    assert f"Commit {of_foo} of transaction 2 is gone" in found["message"]
    lived.ok("rollback", "2")
    problems(lived)


def test_what_a_cleanup_dropped_is_not_missed(lived: Host) -> None:
    lived.ok("cleanup", "-r")
    lived.ok("cleanup", "-b", "--keep", "1")
    problems(lived)


def test_a_damaged_package_in_the_cache_is_named(lived: Host) -> None:
    cache = lived.repo / "extensions/layer/pkgcache"
    damaged = next(path for path in sorted(cache.glob("objects/??/*.file")) if path.is_file() and path.stat().st_size)
    damaged.unlink()
    found = problems(lived, "cache-damaged")
    assert any(name in found[0]["message"] for name in ("foo-1.0", "bar-1.0", "foo-libs-1.0"))
    shutil.rmtree(cache)
    problems(lived)


def test_a_damaged_snapshot_is_named(lived: Host) -> None:
    journal = Journal.open_for_append(lived.journal)
    journal.save_snapshot(SNAPSHOT, 2, '{"position": 2, "host": {"refspec": "other:branch"}}')
    journal.close()
    assert "snapshot" in {each["kind"] for each in json.loads(lived.run("doctor", "--json", check=3).stdout)}


def test_a_search_that_was_edited_is_named_and_filled_anew_as_the_remedy_says(lived: Host) -> None:
    with closing(sqlite3.connect(lived.journal, isolation_level=None)) as connection:
        connection.execute("UPDATE search SET command_line = 'layer status' WHERE rowid = 4")
        (found,) = problems(lived, "search")
        (statement,) = re.findall(r"sqlite3 journal.db '(.*?)'", found["remedy"])
        connection.execute(statement)
    lived.ok("sync")
    problems(lived)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM search_data WHERE id = 10", "DELETE FROM search_data WHERE id > 10"]
)
def test_a_search_that_cannot_be_read_is_made_anew_by_the_remedy(lived: Host, statement: str) -> None:
    with closing(sqlite3.connect(lived.journal, isolation_level=None)) as connection:
        connection.execute(statement)
    (found,) = problems(lived, "search")
    (statement,) = re.findall(r"sqlite3 journal.db '(.*?)'", found["remedy"])
    with closing(sqlite3.connect(lived.journal)) as connection, suppress(sqlite3.DatabaseError):
        connection.execute(statement)
    assert "search made anew" in lived.run("sync").stderr
    problems(lived)


@pytest.mark.parametrize("place", ["journal", "directory"])
def test_a_journal_that_others_may_write_is_named(lived: Host, place: str) -> None:
    path = lived.journal if place == "journal" else lived.journal.parent
    path.chmod(path.stat().st_mode | 0o022)
    (found,) = problems(lived, "journal-writable")
    assert f"{path} can be written by others than root" in found["message"]
    path.chmod(path.stat().st_mode & ~0o022)
    problems(lived)


def test_a_clock_that_went_back_is_named(lived: Host) -> None:
    start_another(lived, pid=1, ahead=True)
    found = problems(lived, "clock", "cut-off")
    assert "which is yet to come" in found[0]["message"]


def test_a_journal_that_is_none_is_named(lived: Host) -> None:
    lived.journal.write_bytes(b"no journal at all\n" * 1000)
    found = json.loads(lived.run("doctor", "--json", check=3).stdout)
    assert found[0]["kind"] == "journal-corrupt"
    assert str(lived.journal) in found[0]["message"]
