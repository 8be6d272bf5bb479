"""The history: every attempt is a transaction with its number, and asking changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import between, fails, instant, refused, unchanged
from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAR, BAZ, FOO, FOO_LIBS, Repository

ENTRY = {
    "transaction",
    "uuid",
    "verb",
    "arguments",
    "outcome",
    "recovered",
    "started_at",
    "finished_at",
    "actor",
    "command_line",
    "message",
    "refspec",
    "base_commit",
    "layered_commit",
    "requested",
    "added",
    "removed",
    "upgraded",
    "error",
}
READING = [
    ["status"],
    ["status", "-v"],
    ["history"],
    ["pkg-add", "--dry-run", "foo"],
    ["pkg-add", "-n", "foo"],
    ["upgrade", "--dry-run"],
    ["upgrade", "--check"],
    ["upgrade", "--preview"],
]
OF_A_JOURNAL = [
    ["show", "2"],
    ["status", "--as-of", "2"],
]
DONE = {0, 77}  # --check and --preview tell by 77 that there is no upgrade


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["transaction"] for entry in entries]


def keep_busy(host: Host, base: BaseTree) -> None:
    """1 adopt, 2 add foo, 3 refused, 4 add bar, 5 upgrade, 6 delete foo."""
    host.ok("pkg-add", "foo", "--message", "CHG-1 wanted")
    host.run("pkg-add", "foo", check=1)
    host.ok("pkg-add", "bar")
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-delete", "foo")


@pytest.fixture(scope="module")
def original(shared: Shared) -> Host:
    host = shared.host
    keep_busy(host, shared.base)
    return host


@pytest.fixture
def busy(original: Host, copy_host: CopyHost) -> Host:
    """A host with the six transactions of `keep_busy`."""
    return copy_host(original)


# What is recorded


def test_the_first_change_is_preceded_by_the_adoption_of_what_was_found(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    adopt, add = host.history()
    assert (adopt["transaction"], adopt["verb"], adopt["outcome"]) == (1, "adopt", "committed")
    assert (adopt["refspec"], adopt["base_commit"], adopt["requested"]) == ("test:os/stable", bare, [])
    assert (add["transaction"], add["verb"], add["outcome"]) == (2, "pkg-add", "committed")


def test_an_entry_says_what_was_asked_and_what_came_of_it(host: Host) -> None:
    bare = host.commit_of()
    before = datetime.now(UTC)
    host.ok("pkg-add", "bar", "--message", "CHG-1 wanted")
    after = datetime.now(UTC)
    entry = host.last()
    assert set(entry) >= ENTRY
    assert entry["arguments"] == ["bar"]
    assert entry["recovered"] is False
    assert before <= instant(entry["started_at"]) <= instant(entry["finished_at"]) <= after
    assert entry["message"] == "CHG-1 wanted"
    assert (entry["refspec"], entry["base_commit"]) == ("test:os/stable", bare)
    assert entry["layered_commit"] == host.commit_of()
    assert entry["requested"] == ["bar"]
    assert (entry["added"], entry["removed"], entry["upgraded"]) == ([BAR, FOO_LIBS], [], [])
    assert entry["error"] is None
    for word in ("layer", "pkg-add", "bar", "--message", "CHG-1 wanted"):
        assert word in entry["command_line"]


def test_an_entry_says_who_did_it(host: Host) -> None:
    host.run("pkg-add", "foo", env={"SUDO_USER": "nobody", "SUDO_UID": "65534"}, check=0)
    actor = host.last()["actor"]
    assert (actor["uid"], actor["user"]) == (os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
    assert {"loginuid", "login_user"} <= set(actor)
    assert "nobody" in json.dumps(actor)


def test_each_verb_leaves_its_entry(host: Host, base: BaseTree) -> None:
    keep_busy(host, base)
    base.commit("os/next", "1")
    host.ok("rebase", "test:os/next")
    host.ok("rollback")
    host.ok("deploy", "1")
    done = [(entry["verb"], entry["outcome"]) for entry in host.history()]
    assert done == [
        ("adopt", "committed"),
        ("pkg-add", "committed"),
        ("pkg-add", "refused"),
        ("pkg-add", "committed"),
        ("upgrade", "committed"),
        ("pkg-delete", "committed"),
        ("rebase", "committed"),
        ("rollback", "committed"),
        ("deploy", "committed"),
    ]
    assert numbers(host.history()) == list(range(1, 10))


def test_an_entry_names_the_packages_that_were_altered(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "foo", "bar")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "foo 2\n"})
    repository.publish()
    host.ok("upgrade")
    host.ok("pkg-delete", "bar")
    add, upgrade, delete = host.history()[1:]
    assert add["added"] == [BAR, FOO, FOO_LIBS]
    assert (upgrade["added"], upgrade["removed"]) == ([], [])
    assert upgrade["upgraded"] == [[FOO, "foo-2.0-1.noarch"]]
    assert delete["removed"] == [BAR, FOO_LIBS]


def test_a_refused_attempt_is_recorded_with_its_reason(host: Host) -> None:
    refused(host, "pkg-add", "no-such-package")
    entry = host.last()
    assert entry["error"]["message"] == "Packages not found: no-such-package"
    assert entry["arguments"] == ["no-such-package"]
    assert entry["layered_commit"] is None


def test_a_failed_attempt_is_recorded_with_its_reason(host: Host) -> None:
    fails(host, "pkg-add", "clash-a", "clash-b")
    assert "/usr/share/clash" in host.last()["error"]["message"]
    assert host.last()["requested"] == []


def test_an_attempt_that_changed_nothing_is_recorded(host: Host) -> None:
    host.ok("upgrade")
    assert [(entry["verb"], entry["outcome"]) for entry in host.history()] == [
        ("adopt", "committed"),
        ("upgrade", "unchanged"),
    ]


@pytest.mark.parametrize("command", [["pkg-add"], ["pkg-add", "--no-such-option", "foo"], ["no-such-verb"]])
def test_a_usage_error_is_not_recorded(host: Host, command: list[str]) -> None:
    host.run(*command, check=2)
    assert not host.journal.exists()


def test_credentials_in_a_url_are_not_recorded(host: Host) -> None:
    """Regression: a message was recorded as it was, and of a password with an @ in it the rest."""
    result = host.run("pkg-add", "http://me:hunt@hunter2@127.0.0.1:9/x.rpm", "-m", "see http://me:hunter2@x/", check=1)
    assert "127.0.0.1:9/x.rpm" in host.last()["command_line"]
    assert host.last()["message"] == "see http://***@x/"
    assert "hunter2" not in result.stderr
    assert b"hunter2" not in host.journal.read_bytes()


# What is shown


def test_show_tells_one_transaction_whole(busy: Host) -> None:
    shown = busy.json("show", "2")
    entry = busy.history()[1]
    assert {key: shown[key] for key in ENTRY} == {key: entry[key] for key in ENTRY}
    events = shown["events"]
    assert [set(event) >= {"position", "event_id", "type", "version", "recorded_at", "payload"} for event in events]
    assert (events[0]["type"], events[-1]["type"]) == ("transaction-started", "transaction-committed")
    positions = [event["position"] for event in events]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    assert busy.json("show", "last")["transaction"] == 6
    assert busy.json("show", "last-1")["transaction"] == 5


def test_show_names_the_checksum_of_each_package_that_came_changed_or_went(host: Host, repository: Repository) -> None:
    """Regression: only those of added packages were shown."""
    sha256 = {
        path.name[: -len(".rpm")]: hashlib.sha256(path.read_bytes()).hexdigest() for path in repository.packages()
    }
    old = sha256[FOO]
    host.ok("pkg-add", "foo", "baz")
    new = hashlib.sha256(repository.build("foo", "2.0").read_bytes()).hexdigest()
    repository.publish()
    host.ok("upgrade")
    change = f"  {FOO} -> foo-2.0-1.noarch  sha256:{new} from test, was sha256:{old}"
    assert change in host.ok("show").stdout.splitlines()
    host.ok("pkg-delete", "baz")
    assert f"  {BAZ}  sha256:{sha256[BAZ]} from test" in host.ok("show").stdout.splitlines()
    host.ok("rollback", "2")
    change = f"  foo-2.0-1.noarch -> {FOO}  sha256:{old} from test, was sha256:{new}"
    assert change in host.ok("show").stdout.splitlines()
    events = {each["type"]: each["payload"] for each in host.json("show")["events"]}
    [package] = events["layer-committed"]["downgraded"]
    assert (package["old"]["sha256"], package["new"]["sha256"]) == (new, old)


def test_show_of_an_unknown_transaction_is_an_error(busy: Host) -> None:
    result = busy.run("show", "99", check=1)
    assert "99" in result.stderr


def test_the_human_form_shows_the_newest_first_and_packages_before_options(busy: Host) -> None:
    lines = busy.ok("history").stdout.splitlines()
    mentioned = [index for index, line in enumerate(lines) if "pkg-delete" in line or "adopt" in line]
    assert len(mentioned) == 2
    assert "pkg-delete" in lines[mentioned[0]]
    assert "foo" in lines[mentioned[0]]


def test_a_changing_verb_prints_its_transaction_as_show_does(host: Host) -> None:
    printed = host.json("pkg-add", "foo")
    assert printed == host.json("show", "2")
    assert printed["outcome"] == "committed"


def test_status_counts_what_the_journal_holds(busy: Host) -> None:
    journal = busy.status()["journal"]
    assert journal["path"] == str(busy.journal)
    assert journal["transactions"] == 6
    assert journal["events"] == sum(len(busy.json("show", str(number))["events"]) for number in range(1, 7))
    assert len(journal["root_hash"]) in {44, 64}


# Filters


def test_history_is_newest_first_unless_reversed(busy: Host) -> None:
    assert numbers(busy.json("history")) == [6, 5, 4, 3, 2, 1]
    assert numbers(busy.json("history", "--reverse")) == [1, 2, 3, 4, 5, 6]


def test_history_n_shows_the_newest_n(busy: Host) -> None:
    assert numbers(busy.json("history", "-n", "2")) == [6, 5]
    assert numbers(busy.json("history", "-n", "2", "--reverse")) == [5, 6]


def test_history_since_and_until_cut_by_time(busy: Host) -> None:
    entries = busy.history()
    after_three, after_five = between(entries[2], entries[3]), between(entries[4], entries[5])
    assert numbers(busy.history("--since", after_three)) == [4, 5, 6]
    assert numbers(busy.history("--until", after_three)) == [1, 2, 3]
    assert numbers(busy.history("--since", after_three, "--until", after_five)) == [4, 5]
    assert numbers(busy.history("--since", "2001-01-01")) == [1, 2, 3, 4, 5, 6]
    assert busy.history("--until", "2001-01-01") == []


def test_history_of_a_package_shows_what_altered_it(busy: Host) -> None:
    assert numbers(busy.history("--package", "bar")) == [4]
    assert {2, 6} <= set(numbers(busy.history("--package", "foo"))) <= {2, 3, 6}
    assert 4 in numbers(busy.history("--package", "*-libs"))
    assert busy.history("--package", "no-such-*") == []


def test_history_of_a_user_and_of_a_verb(busy: Host) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    assert numbers(busy.history("--user", user)) == [1, 2, 3, 4, 5, 6]
    assert busy.history("--user", "nobody-of-this-name") == []
    assert numbers(busy.history("--verb", "pkg-add")) == [2, 3, 4]
    assert numbers(busy.history("--verb", "pkg-add", "-n", "1")) == [4]


def test_history_of_failures_shows_what_did_not_succeed(busy: Host) -> None:
    fails(busy, "pkg-add", "clash-a", "clash-b")
    assert numbers(busy.history("--failed")) == [3, 7]


# Asking changes nothing


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_begins_no_journal_and_touches_nothing(host: Host, command: list[str]) -> None:
    before = host.snapshot_tree()
    assert host.run(*command).exit in DONE
    assert host.snapshot_tree() == before
    assert not host.journal.exists()


def test_reading_appends_nothing_to_a_journal_that_is_there(busy: Host) -> None:
    journal = busy.journal.read_bytes()
    with unchanged(busy):
        for command in [*READING, *OF_A_JOURNAL]:
            assert busy.run(*command).exit in DONE, command
    assert busy.journal.read_bytes() == journal
    assert sorted(path.name for path in busy.journal.parent.iterdir() if path.name.startswith("journal.db-")) == []


def test_a_dry_run_says_what_would_be_installed(host: Host) -> None:
    with unchanged(host):
        said = host.ok("pkg-add", "--dry-run", "bar")
    assert BAR in said.stdout + said.stderr
    assert FOO_LIBS in said.stdout + said.stderr
    assert [entry["verb"] for entry in host.history()] == ["adopt"]


def test_a_refused_dry_run_is_not_recorded_either(host: Host) -> None:
    host.run("pkg-add", "--dry-run", "no-such-package", check=1)
    assert not host.journal.exists()


def test_a_damaged_search_stops_no_transaction_and_is_made_anew(host: Host) -> None:
    host.ok("pkg-add", "bar")
    with closing(sqlite3.connect(host.journal)) as connection:
        connection.execute("UPDATE search_data SET block = x'00'")
        connection.commit()
    assert host.run("audit", "verify", check=3).stdout.startswith(("index:", "search:"))
    done = host.ok("pkg-add", "foo")
    assert "search made anew: it was damaged" in done.stderr
    assert host.status()["deployments"][0]["requested"] == ["bar", "foo"]
    assert host.json("history", "-n", "1")[0]["outcome"] == "committed"
    host.ok("audit", "verify")
