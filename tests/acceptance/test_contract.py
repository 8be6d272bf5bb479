"""The contract of the command line as tables: verbs, flags, messages, exit codes and keys that scripts rely on.

A flag, key, alias or text that gets lost makes a test here fail. What each of them does is shown in the other files.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import LAYER, REMOTE, Host
from tests.acceptance.repositories import standard_repository
from tests.acceptance.rpms import build_rpm

CHANGING = (
    *("-n", "--dry-run", "--download-only", "-C", "--cacheonly", "--idempotent", "--allow-inactive"),
    *("--unchanged-exit-77", "-m", "--message", "-r", "--reboot", "-y", "--json"),
)
FLAGS: dict[str, Sequence[str]] = {
    "pkg-add": (*CHANGING, "--uninstall", "--scripts"),
    "install": CHANGING,
    "add": CHANGING,
    "pkg-delete": (*CHANGING, "--all", "--install"),
    "uninstall": CHANGING,
    "remove": CHANGING,
    "upgrade": (*CHANGING, "--check", "--preview", "--allow-downgrade", "--scripts"),
    "update": CHANGING,
    "rebase": CHANGING,
    "deploy": CHANGING,
    "rollback": (*CHANGING, "--to", "--preview"),
    "undo": CHANGING,
    "redo": CHANGING,
    "replay": (*CHANGING, "--to"),
    "pin": CHANGING,
    "unpin": CHANGING,
    "cleanup": (
        *(flag for flag in CHANGING if flag not in ("-m", "-r")),  # which have another meaning there
        *("-p", "--pending", "-r", "--rollback", "-b", "--base", "-m", "--repomd"),
    ),
    "status": ("-v", "--verbose", "--as-of", "--pending-exit-77", "--json"),
    "history": (*("-n", "--since", "--until", "--package", "--user", "--verb", "--failed", "--reverse", "--json"),),
    "show": ("--json",),
    "diff": ("--json",),
    "blame": ("--as-of", "--json"),
    "doctor": ("--json",),
    "sync": ("--json",),
    "search": ("-C", "--cacheonly", "--json"),
    "refresh-md": ("--json",),
}
FOO, MINE, BASE_TOOL = "foo-1.0-1.noarch", "mine-1.0-1.noarch", "base-tool-1.0-1.noarch"
BASH = "bash-5.2.26-3.x86_64"
REFSPEC = f"{REMOTE}:{BRANCH}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def host(place: Path) -> Iterator[Host]:
    """One host for all: foo and a local package are layered, and nothing below changes that."""
    base = BaseTree(place / "remote")
    base.commit(BRANCH, "1")
    repository = standard_repository(place / "packages")
    repository.build("rival", conflicts=["base-tool"])
    repository.build("usurper", obsoletes=["bash"])
    repository.publish()
    build_rpm(place, "mine", files={"/usr/share/mine": "mine\n"})
    build_rpm(place, "base-tool", files={"/usr/bin/base-tool": "#!/bin/sh\n", "/usr/share/base-tool/data": "base\n"})
    host = Host.install(place / "sysroot", base.repo)
    host.set_repo(repository.repo_file())
    host.ok("pkg-add", "foo", place / f"{MINE}.rpm", "-m", "ticket 7")
    host.ok("pkg-add", "base-tool", "--allow-inactive")
    host.ok("cleanup", "-r")
    yield host
    host.fsck()
    host.remove()


# Flags


@pytest.mark.parametrize("verb", FLAGS)
def test_a_verb_takes_the_flags_that_are_promised(verb: str) -> None:
    told = subprocess.run([LAYER, verb, "--help"], capture_output=True, text=True, check=True).stdout
    options = told.partition("Options:\n")[2]
    missing = [flag for flag in FLAGS[verb] if not re.search(rf"^  (?:\S+, )*{flag}(?![\w-])", options, re.MULTILINE)]
    assert missing == []


def test_help_names_every_verb_with_its_aliases_on_a_line_of_its_own() -> None:
    told = subprocess.run([LAYER, "--help"], capture_output=True, text=True, check=True).stdout
    rows = told.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    named = [name for row in rows for name in row.split("  ")[1].split(", ")]
    assert set(FLAGS) <= set(named)
    assert [row for row in rows if len(row) > 79 or row.endswith("...") or row.startswith("   ")] == []


# Messages, exit codes, and which of the two streams they are on


def texts(place: Path) -> dict[str, tuple[Sequence[str], int, str]]:
    """Command line, exit code, and what it says: on stdout where that is 0 or 77, else on stderr after `error: `."""
    mine, base_tool = f"{place}/{MINE}.rpm", f"{place}/{BASE_TOOL}.rpm"
    provided = f'"base-tool-1.0" is already provided by: {BASE_TOOL}. Use --allow-inactive to explicitly require it.'
    installing = "Installing {}:\n  {}\nExiting because of '--dry-run' option"
    foo_libs = "bar-1.0-1.noarch\n  foo-libs-1.0-1.x86_64"
    return {
        "not found, all at once": (("pkg-add", "no-b", "no-a"), 1, "Packages not found: no-a, no-b"),
        "provided": (("pkg-add", "base-tool-1.0"), 1, provided),
        "requested": (("pkg-add", "foo"), 1, "Package/capability 'foo' is already requested"),
        "requested, hidden": (("pkg-add", "base-tool"), 1, "Package/capability 'base-tool' is already requested"),
        "not requested": (("pkg-delete", "bar"), 1, "Package/capability 'bar' is not currently requested"),
        "layered": (("pkg-add", mine), 1, f"Package '{MINE}' is already layered"),
        "in the base": (("pkg-add", base_tool), 1, f"Package '{BASE_TOOL}' is already in the base"),
        "removed": (("pkg-add", "rival"), 1, f"Base packages would be removed: {BASE_TOOL}"),
        "replaced": (
            ("pkg-add", "usurper"),
            1,
            f"Base packages would be replaced: {BASH} -> usurper-1.0-1.noarch",
        ),
        "would install": (("pkg-add", "-n", "baz"), 0, installing.format("1 packages", "baz-1.0-1.noarch")),
        "would install two": (("pkg-add", "-n", "bar"), 0, installing.format("2 packages", foo_libs)),
        "downloaded": (("pkg-add", "--download-only", "baz"), 0, "Update downloaded."),
        "no change": (("pkg-add", "--idempotent", "foo"), 0, "No change."),
        "no change, 77": (("pkg-add", "--idempotent", "foo", "--unchanged-exit-77"), 77, "No change."),
        "nothing to delete": (("pkg-delete", "--idempotent", "bar", "--unchanged-exit-77"), 77, "No change."),
        "no upgrade": (("upgrade",), 0, "No upgrade available."),
        "no upgrade, 77": (("upgrade", "--unchanged-exit-77"), 77, "No upgrade available."),
        "no upgrade to check": (("upgrade", "--check"), 77, "No upgrade available."),
        "no upgrade to preview": (("upgrade", "--preview"), 77, "No upgrade available."),
        "equal": (("rebase", REFSPEC), 1, f"Old and new refs are equal: {REFSPEC}"),
        "no version": (("deploy", "7"), 1, f"Version 7 not found in {REFSPEC}"),
        "no rollback": (("rollback",), 1, "No rollback deployment found"),
        "no cleanup": (("cleanup", "-p"), 0, "Deployments unchanged."),
        "nothing to download": (("pin", "1", "--download-only"), 0, "Nothing to download."),
        "no pin": (("unpin", "1", "--unchanged-exit-77"), 77, "Transaction 1 is not pinned."),
    }


CASES = tuple(texts(Path()))


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_rpm_ostree_says(host: Host, place: Path, case: str) -> None:
    arguments, status, text = texts(place)[case]
    result = host.run(*arguments, check=status)
    if status == 1:
        assert (result.stdout, result.stderr.splitlines()[0]) == ("", f"error: {text}")
    else:
        assert (result.stdout, result.stderr) == (f"{text}\n", "")


def test_a_lock_is_told_with_the_pid_of_its_holder(host: Host) -> None:
    with host.locked() as pid:
        result = host.run("pkg-add", "bar", "--json", check=75)
    assert re.match(rf"error: Transaction in progress: .*\bpid {pid}\b", result.stderr)
    assert json.loads(result.stdout)["error"]["kind"] == "sysroot-locked"


USAGE = (
    *(("nonsense",), ("pkg-add",), ("pkg-delete",), ("pkg-delete", "--all", "foo"), ("pkg-add", "--nonsense", "foo")),
    *(("rebase",), ("deploy",), ("rollback", "1", "--to", "now"), ("rollback", "--to", "some day"), ("pin",)),
    *(("cleanup",), ("cleanup", "--keep", "-1", "-b"), ("show", "some"), ("history", "--since", "some day")),
    *(("status", "--as-of", "some day"), ("search", " "), ("--color", "pink", "status")),
    *(("pkg-add", "foo", ""), ("pkg-delete", ""), ("deploy", ""), ("rebase", ""), ("rebase", BRANCH, " ")),
)


def test_what_makes_no_sense_is_a_usage_error_and_not_recorded(host: Host) -> None:
    before = host.status()["journal"]
    for arguments in USAGE:
        result = host.run(*arguments, check=2)
        assert result.stdout == ""
        assert re.search(r"^(error|Error): \S", result.stderr, re.MULTILINE)
    assert host.status()["journal"] == before


# JSON

TEXT, NAMES, FLAG, NUMBER = str, "sorted names", bool, int
OPTIONAL_TEXT, OPTIONAL_NUMBER = (str, type(None)), (int, type(None))
STATUS = {"stateroot": TEXT, "deployments": list, "journal": dict}
DEPLOYMENT = {
    **dict.fromkeys(("id", "commit", "base_commit", "refspec"), TEXT),
    **dict.fromkeys(("booted", "staged", "pinned"), FLAG),
    **dict.fromkeys(("requested", "requested_local", "absorbed", "layered"), NAMES),
    "version": OPTIONAL_TEXT,
    "transaction": OPTIONAL_NUMBER,
}
JOURNAL = {"path": TEXT, "events": NUMBER, "transactions": NUMBER, "root_hash": TEXT}
TRANSACTION = {
    **dict.fromkeys(("uuid", "verb", "outcome", "started_at", "command_line"), TEXT),
    **dict.fromkeys(("finished_at", "message", "refspec", "base_commit", "layered_commit"), OPTIONAL_TEXT),
    **dict.fromkeys(("requested", "added", "removed"), NAMES),
    "transaction": NUMBER,
    "arguments": list,
    "recovered": FLAG,
    "actor": dict,
    "upgraded": list,
    "error": (dict, type(None)),
}
ACTOR = {
    "uid": NUMBER,
    "loginuid": OPTIONAL_NUMBER,
    **dict.fromkeys(("user", "login_user", "session", "invoked_by", "tty", "unit"), OPTIONAL_TEXT),
}
EVENT = {"position": NUMBER, "event_id": TEXT, "type": TEXT, "version": NUMBER, "recorded_at": TEXT, "payload": dict}
OUTCOMES = {"committed", "failed", "refused", "interrupted", "unchanged", "running"}


def violations(document: Mapping[str, Any], keys: Mapping[str, Any]) -> list[str]:
    """The keys that are missing or not of their type."""
    wrong = []
    for key, kind in keys.items():
        value = document.get(key, KeyError)
        good = value == sorted(value) if kind is NAMES and isinstance(value, list) else kind is not NAMES
        if not good or (kind is not NAMES and not isinstance(value, kind)):
            wrong.append(f"{key}: {value!r}")
    return wrong


def test_status_has_the_keys_that_are_promised(host: Host) -> None:
    for arguments in ((), ("--as-of", "2"), ("--as-of", "now"), ("-v",)):
        document = host.json("status", *arguments)
        assert violations(document, STATUS) == []
        assert violations(document["journal"], JOURNAL) == []
        assert document["deployments"]
        for each in document["deployments"]:
            assert violations(each, DEPLOYMENT) == []
    current = host.current()
    assert (current["requested"], current["requested_local"]) == (["foo"], [MINE])
    assert (current["absorbed"], current["layered"]) == (["base-tool"], [FOO, MINE])


def test_history_and_show_have_the_keys_that_are_promised(host: Host) -> None:
    entries = host.json("history")
    for entry in entries:
        assert violations(entry, TRANSACTION) == []
        assert violations(entry["actor"], ACTOR) == []
        assert entry["outcome"] in OUTCOMES
        assert entry["error"] is None or violations(entry["error"], {"kind": TEXT, "message": TEXT}) == []
    shown = host.json("show", "2")
    assert {key: shown[key] for key in entries[0]} == next(each for each in entries if each["transaction"] == 2)
    assert shown["message"] == "ticket 7"
    assert shown["events"]
    for event in shown["events"]:
        assert violations(event, EVENT) == []


def test_diff_and_blame_have_the_keys_that_are_promised(host: Host) -> None:
    document = host.json("diff", "1", "now")
    assert violations(document, dict.fromkeys(("refspec", "base_commit"), list)) == []
    assert {"from", "to"} <= set(document)
    assert violations(document["requested"], dict.fromkeys(("added", "removed"), NAMES)) == []
    kinds = dict.fromkeys(("added", "removed", "upgraded", "downgraded"), NAMES)
    assert violations(document["packages"], kinds) == []
    assert document["packages"]["added"] == [FOO, MINE]
    blamed = host.json("blame")
    assert [each["package"] for each in blamed] == [FOO, MINE]
    keys = {
        "package": TEXT,
        "transaction": NUMBER,
        "user": TEXT,
        "requested": FLAG,
        "required_by": NAMES,
        "since": TEXT,
    }
    assert [violations(each, keys) for each in blamed] == [[], []]


def test_a_dry_run_has_the_keys_of_a_transaction_and_null_where_only_one_has_something(host: Host) -> None:
    recorded = set(host.json("show", "2"))
    for arguments in (("pkg-add", "-n", "bar"), ("pkg-delete", "-n", "foo"), ("upgrade", "--unchanged-exit-77", "-n")):
        result = host.run(*arguments, "--json")
        document = json.loads(result.stdout)
        assert recorded <= set(document)
        nobodys = dict.fromkeys(("transaction", "uuid", "outcome", "started_at", "finished_at"))
        assert {key: document[key] for key in nobodys} == nobodys
        assert violations(document, {key: TRANSACTION[key] for key in TRANSACTION if key not in nobodys}) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("pkg-add", "no-such"),
        ("pkg-add", "no-such", "-n"),
        ("show", "999"),
        ("status", "--as-of", "999"),
        ("pin", "99"),
    ],
    ids=" ".join,
)
def test_one_document_is_printed_also_where_the_verb_fails(host: Host, arguments: tuple[str, ...]) -> None:
    result = host.run(*arguments, "--json", check=1)
    error = json.loads(result.stdout)["error"]
    assert error["kind"]
    assert f"error: {error['message']}\n" in result.stderr


def test_one_document_is_printed_also_where_nothing_changed(host: Host) -> None:
    document = host.json("pkg-add", "foo", "--idempotent")
    assert (document["outcome"], document["note"], document["error"]) == ("unchanged", "No change.", None)
