"""Replay: another host brought to the state that this one's journal describes, to the same commit checksum."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from journal.events import TransactionStarted
from journal.store import Journal
from projections import points
from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import fails, settled, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import FOO, Repository
from tests.drafts import DraftMaker


@pytest.fixture
def other(host: Host, base: BaseTree, repository: Repository, tmp_path: Path) -> Path:
    """The journal of a host: 1 adopt, 2 add foo, 3 upgrade, 4 add bar. The repository has a newer foo since."""
    host.ok("pkg-add", "foo")
    base.with_files({"/usr/share/version": "2\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-add", "bar")
    base.with_files({"/usr/share/version": "3\n"}).commit(BRANCH, "3")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "foo 2\n"})
    repository.publish()
    return Path(shutil.copy(host.journal, tmp_path / "other.db"))


@pytest.fixture
def new(install_host: InstallHost, repository: Repository) -> Host:
    """A host that has just been installed, from what the remote has then."""
    return install_host(repository.repo_file())


def test_a_new_host_comes_to_the_same_commit(host: Host, other: Path, new: Host) -> None:
    assert new.commit_of() != host.commit_of()
    new.ok("replay", other)
    assert new.commit_of() == host.commit_of()
    kept = ("refspec", "base_commit", "requested", "layered", "absorbed", "version")
    assert {key: new.current()[key] for key in kept} == {key: host.current()[key] for key in kept}
    assert "No change." in new.ok("replay", other).stdout


def test_it_is_recorded_from_which_journal_and_how_far(host: Host, other: Path, new: Host) -> None:
    new.ok("replay", other, "--to", "3")
    last = new.last()
    assert (last["verb"], last["arguments"], last["options"]["to"]) == ("replay", [str(other)], "3")
    (source,) = (each["payload"] for each in new.json("show", "last")["events"] if each["type"] == "journal-replayed")
    past = host.json("status", "--as-of", "3")["journal"]
    assert (source["transaction"], source["position"], source["root_hash"]) == (3, past["events"], past["root_hash"])
    assert f"Replayed: transaction 3 of {source['machine_id']}, root hash {past['root_hash']}" in new.ok("show").stdout
    assert new.current()["layered"] == [FOO]
    assert new.commit_of() == host.history()[2]["layered_commit"]


def test_a_preview_changes_nothing(other: Path, new: Host) -> None:
    journal = settled(new).journal.read_bytes()
    with unchanged(new):
        assert f"Installing 3 packages:\n  bar-1.0-1.noarch\n  {FOO}" in new.ok("replay", other, "--preview").stdout
    assert new.journal.read_bytes() == journal


def test_what_cannot_be_had_is_listed_and_nothing_changes(
    other: Path, new: Host, host: Host, base: BaseTree, repository: Repository
) -> None:
    state = host.history()[-1]
    ostree("prune", f"--delete-commit={state['base_commit']}", repo=base.repo)
    repository.remove("foo")
    repository.remove("bar")
    repository.publish()
    said = fails(new, "replay", other).stderr
    assert [line.split(" (")[0].split(":")[0] for line in said.splitlines()[1:]] == [
        f"  - base commit {state['base_commit']}",
        "  - package bar-1.0-1.noarch",
        f"  - package {FOO}",
    ]


def text(path: Path) -> None:
    path.write_text("no journal at all, whatever its name is\n" * 100)


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (record TEXT)")
    connection.close()


def newer(path: Path) -> None:
    Journal.open_for_append(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def empty(path: Path) -> None:
    Journal.open_for_append(path).close()


def without_state(path: Path) -> None:
    draft = DraftMaker()
    Journal.open_for_append(path).append([draft(draft.uuid(), TransactionStarted("adopt"))])


def absent(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text, "corrupt"),
        (foreign, "not a journal of layer's"),
        (newer, "schema version 99"),
        (empty, "has no state"),
        (without_state, "has no state"),
        (absent, "No journal at"),
    ],
)
def test_what_is_no_journal_with_a_state_is_a_clear_error_and_nothing_is_written(
    host: Host, tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "journals/other.db"
    path.parent.mkdir()
    make(path)
    content = path.read_bytes() if path.exists() else None
    journal = settled(host).journal.read_bytes()
    with unchanged(host):
        result = host.run("replay", path, check=1)
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert host.journal.read_bytes() == journal
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE events SET record = replace(record, 'foo', 'fop') WHERE position = 5", "The record of event 5"),
        ("UPDATE nodes SET hash = zeroblob(32) WHERE level = 1 AND idx = 0", "The hash over events 1 to 2"),
        ("DELETE FROM events WHERE position = 5", "Event 5 is missing"),
        ("UPDATE snapshots SET state = replace(state, 'foo', 'fop')", "The snapshot at position"),
    ],
)
def test_a_journal_that_was_altered_is_refused_and_nothing_is_written(
    host: Host, other: Path, statement: str, reason: str
) -> None:
    with closing(Journal.open_for_append(other)) as opened:
        end = opened.position
        opened.save_snapshot(points.SNAPSHOT, end, msgspec.json.encode(points.at(opened)).decode())
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    content, journal = other.read_bytes(), host.journal.read_bytes()
    with unchanged(host):
        assert reason in host.run("replay", other, check=1).stderr
    assert (other.read_bytes(), host.journal.read_bytes()) == (content, journal)


@pytest.mark.parametrize(
    ("to", "reason", "status"),
    [("99", "No transaction 99", 1), ("2001-01-01", "The history begins after", 1), ("never", "neither", 2)],
)
def test_a_point_that_the_other_journal_does_not_have_is_a_clear_error(
    host: Host, other: Path, to: str, reason: str, status: int
) -> None:
    journal = host.journal.read_bytes()
    assert reason in host.run("replay", other, "--to", to, check=status).stderr
    assert host.journal.read_bytes() == journal
