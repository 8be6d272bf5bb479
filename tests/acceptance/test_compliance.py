"""What auditors ask of a journal, row by row as docs/compliance.md has it: each is shown on a real host."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.conftest import CopyHost
from tests.acceptance.host import LAYER, Host, environment
from tests.acceptance.repositories import standard_repository
from tests.acceptance.rpms import SigningKey, sha256

DOCUMENT = Path(__file__).parents[2] / "docs/compliance.md"
NOBODY = 65534


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """1 adopt, 2 add foo (signed, with a ticket, by sudo), 3 refused, 4 failed, 5 upgrade, 6 delete foo, 7 cleanup."""
    directory = tmp_path_factory.mktemp("audited")
    base = BaseTree(directory / "remote")
    base.commit()
    repository = standard_repository(directory / "packages")
    with SigningKey() as key:
        key.sign(repository.directory / "foo-1.0-1.noarch.rpm")
        public = key.export(directory / "key.asc")
    repository.publish()
    host = Host.install(directory / "sysroot", base.repo)
    host.set_repo(repository.repo_file(gpgcheck=True, gpgkey=public))
    sudo = {"SUDO_USER": "anna"}
    host.run("pkg-add", "foo", "-m", "CHG-1042: needed for the audit", env=sudo, check=0)
    host.run("pkg-add", "no-such-package", env=sudo, check=1)
    host.run("pkg-add", "bar", check=1)  # unsigned
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-delete", "foo")
    host.ok("cleanup", "-b", "-m")
    yield host
    host.remove()


@pytest.fixture
def audited(story: Host, copy_host: CopyHost) -> Host:
    """A copy of that host, for what changes it."""
    return copy_host(story)


def records(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.ok("audit", "log").stdout.splitlines()]


def test_success_failure_and_refusal_are_recorded(story: Host) -> None:
    outcomes = {entry["transaction"]: entry["outcome"] for entry in story.history()}
    assert (outcomes[2], outcomes[3], outcomes[4]) == ("committed", "refused", "failed")


def test_each_event_says_what_when_where_and_who(story: Host) -> None:
    for record in records(story):
        assert record["type"]
        assert record["recorded_at"].endswith("Z")
        assert record["host"]["machine_id"] == Path("/etc/machine-id").read_text().strip()
        assert re.fullmatch("[0-9a-f]{32}", record["host"]["boot_id"])
        assert {"tty", "unit"} <= record["actor"].keys()
        assert (record["actor"]["uid"], record["actor"]["user"]) == (0, "root")
    assert {entry["outcome"] for entry in story.history()} >= {"committed", "failed", "refused"}


def test_the_full_command_line_is_recorded_without_credentials(audited: Host) -> None:
    audited.run("rebase", "https://anna:secret@example.com/x:y", check=1)
    assert "secret" not in audited.journal.read_bytes().decode(errors="replace")
    assert audited.history()[-1]["command_line"].endswith("rebase https://***@example.com/x:y")


def test_the_login_behind_root_is_recorded(story: Host) -> None:
    actor = story.json("show", "2")["actor"]
    assert actor["invoked_by"] == "anna"
    assert {"uid", "loginuid", "login_user", "session"} <= actor.keys()
    loginuid = int(Path("/proc/self/loginuid").read_text())
    assert actor["loginuid"] == (None if loginuid == 0xFFFFFFFF else loginuid)


def test_times_are_utc_and_never_go_back_within_the_journal(story: Host) -> None:
    times = [record["recorded_at"] for record in records(story)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", each) for each in times)
    assert times == sorted(times)


def test_edits_are_refused_by_the_schema_and_tampering_is_found(audited: Host) -> None:
    audited.ok("audit", "checkpoint")
    connection = sqlite3.connect(audited.journal)
    for statement in ("UPDATE events SET record = '{}'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.execute("DROP TRIGGER events_no_update")
    connection.execute("UPDATE events SET record = replace(record, 'anna', 'boris') WHERE position = 4")
    connection.commit()
    connection.close()
    findings = audited.run("audit", "verify", "--json", check=3)
    assert 4 in [each["position"] for each in json.loads(findings.stdout)["findings"]]


def test_reading_is_restricted_by_the_files_mode_which_stays_as_it_is_set(audited: Host) -> None:
    audited.journal.chmod(0o600)
    audited.ok("pkg-add", "foo")
    assert audited.journal.stat().st_mode & 0o777 == 0o600
    with reachable(audited.sysroot):
        assert as_nobody(audited, "history").returncode == 1


def test_access_to_the_desk_is_told(audited: Host) -> None:
    command = audited.command("audit", "serve", "--port", "0")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        subprocess.run(["curl", "-sS", "-o", os.devnull, f"{address}/journal/failures"], check=True)
        server.send_signal(2)
        assert re.search(r'127\.0\.0\.1:\d+ - "GET /journal/failures HTTP/1.1" 200', server.stderr.read())


def test_the_journal_leaves_the_host_as_it_is_written(audited: Host, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    audited.ok("audit", "export", "--format", "sqlite", "-o", copy)
    assert audited.run("audit", "--journal", copy, "verify").exit == 0
    followed = subprocess.Popen(
        audited.command("audit", "log", "--follow"), env=environment(), stdout=subprocess.PIPE, text=True
    )
    with followed:
        assert followed.stdout
        shipped = [followed.stdout.readline() for _ in records(audited)]
        audited.run("pkg-add", "no-such-package", check=1)
        shipped.append(followed.stdout.readline())
        followed.terminate()
    assert json.loads(shipped[-1])["type"] == "transaction-started"


def test_without_room_for_the_record_nothing_is_done(audited: Host, tmp_path: Path) -> None:
    directory, kept = audited.journal.parent, tmp_path / "kept"
    shutil.copytree(directory, kept)
    size = sum(path.stat().st_size for path in kept.iterdir()) + (256 << 10)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    try:
        shutil.copytree(kept, directory, dirs_exist_ok=True)
        before = audited.deployments()
        result = audited.run("pkg-add", "foo", check=1)
        assert f"The disk is full for the journal {audited.journal}" in result.stderr
        assert audited.deployments() == before
        audited.ok("audit", "verify")
        # What may begin has room to end, however little is left.
        room = f"size={size + (1 << 20)}"
        subprocess.run(["mount", "-o", f"remount,{room}", directory], check=True)
        audited.ok("pkg-add", "foo")
        assert audited.last()["outcome"] == "committed"
    finally:
        subprocess.run(["umount", directory], check=True)


def test_questions_are_answered_without_altering_anything(story: Host) -> None:
    before = story.journal.read_bytes()
    story.ok("history", "--failed")
    story.ok("audit", "log", "--package", "foo*")
    story.ok("audit", "export", "--format", "ocsf")
    connection = sqlite3.connect(f"file:{story.journal}?mode=ro", uri=True)
    assert connection.execute("SELECT count(*) FROM failures").fetchone() == (2,)
    connection.close()
    story.ok("audit", "verify")
    assert story.journal.read_bytes() == before


def test_the_history_outlives_every_cleanup(audited: Host) -> None:
    before = [record["event_id"] for record in records(audited)]
    audited.ok("cleanup", "-p", "-r", "-b", "-m", "--keep", "0")
    assert [record["event_id"] for record in records(audited)][: len(before)] == before


def test_a_cleanup_is_an_event(story: Host) -> None:
    types = [event["type"] for event in story.json("show", "7")["events"]]
    assert types[0] == "transaction-started"
    assert {"commits-dropped", "cache-dropped"} & {*types}


def test_a_reason_and_the_states_before_and_after_are_recorded(story: Host) -> None:
    told = story.json("show", "6")
    started = told["events"][0]["payload"]
    assert (started["before"]["requested"], told["requested"]) == (["foo"], [])
    assert story.json("show", "2")["message"] == "CHG-1042: needed for the audit"


def test_who_is_not_root_can_read_and_change_nothing(audited: Host) -> None:
    with reachable(audited.sysroot):
        assert as_nobody(audited, "history").returncode == 0
        before = audited.journal.read_bytes()
        refused = as_nobody(audited, "pkg-add", "foo")
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert audited.journal.read_bytes() == before


def test_each_package_is_recorded_with_repository_checksum_and_signature(story: Host) -> None:
    added = next(each for each in story.json("show", "2")["events"] if each["type"] == "layer-committed")
    (package,) = added["payload"]["added"]
    assert (package["nevra"], package["repository"]) == ("foo-1.0-1.noarch", "test")
    assert package["sha256"] == sha256(story.sysroot.parent / "packages/foo-1.0-1.noarch.rpm")
    assert re.fullmatch("[0-9A-Fa-f]{16,40}", package["signed_by"])
    assert "not signed" in story.json("show", "4")["error"]["message"]


def test_the_inventory_of_any_time_follows_and_drift_is_found(audited: Host) -> None:
    assert audited.json("status", "--as-of", "2")["deployments"][0]["layered"] == ["foo-1.0-1.noarch"]
    connection = sqlite3.connect(f"file:{audited.journal}?mode=ro", uri=True)
    present = "SELECT nevra FROM presence WHERE transaction_number <= 2 AND coalesce(until_transaction_number, 9) > 2"
    found = {nevra for (nevra,) in connection.execute(present)}
    connection.close()
    assert {"foo-1.0-1.noarch"} < found
    audited.admin("deploy", f"--os={audited.stateroot}", f"test:{BRANCH}")
    assert "observe" in audited.ok("sync").stdout


def test_the_document_names_these_tests_and_no_others() -> None:
    named = re.findall(r"`(test_\w+)`", DOCUMENT.read_text())
    here = [name for name in globals() if name.startswith("test_")]
    assert sorted(named) == sorted(here[:-1])


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Let other users go through the directories above, which pytest keeps to itself."""
    closed = [each for each in (path, *path.parents) if not each.stat().st_mode & 0o001]
    modes = {each: each.stat().st_mode & 0o7777 for each in closed}
    for each, mode in modes.items():
        each.chmod(mode | 0o011)
    try:
        yield
    finally:
        for each, mode in modes.items():
            each.chmod(mode)


def as_nobody(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run layer as a user who is not root; the interpreter and its packages are readable by all."""
    program = "from cli.main import main; import sys; sys.argv[0] = 'layer'; main()"
    command = [sys.executable, "-c", program, *host.command(*arguments)[1:]]
    return subprocess.run(
        command,
        cwd=LAYER.parents[2],
        env=environment(),
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
