"""SIGKILL at any moment: the next command finds that the transaction happened, or that it did not. Never a half.

`strace` kills the process just before its n-th system call of a kind. By default some of the moments are tried;
LAYER_FAULTS=all (`make faults`) tries every one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host, environment
from tests.acceptance.repositories import FOO

STRIDE = 1 if os.environ.get("LAYER_FAULTS") == "all" else 17


@pytest.fixture(scope="module")
def layered(shared: Shared) -> Host:
    """A host with one layer, so that a crash has something to lose."""
    host = shared.host
    host.ok("pkg-add", "baz")
    return host


def killed_at(host: Host, call: str, number: int, *args: str) -> bool:
    """Run the command and kill it at its n-th call of this kind; whether it came to that."""
    inject = f"inject={call}:signal=KILL:when={number}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *host.command(*args)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode != 0


def moments(call: str, host: Host, copy_host: CopyHost, *args: str) -> Iterator[Host]:
    """A copy of the host for each of the moments at which the command was killed."""
    number = 1
    while True:
        copy = copy_host(host)
        if not killed_at(copy, call, number, *args):
            return
        yield copy
        copy.fsck()
        number += STRIDE


def happened(host: Host, verb: str, before: str) -> bool:
    """Whether the killed command happened; either way every transaction has an outcome that fits what is deployed."""
    host.ok("sync")
    *earlier, last = host.history()
    assert {entry["outcome"] for entry in earlier} == {"committed"}
    if last["outcome"] == "interrupted":
        assert last["verb"] == verb
        assert host.commit_of() == before
        return False
    assert last["outcome"] == "committed"
    assert f"transaction={last['uuid']}" in host.origin()
    assert host.commit_of() == (last["layered_commit"] or last["base_commit"])
    return bool(host.commit_of() != before)


@pytest.mark.parametrize("call", ["fdatasync", "renameat", "symlinkat", "linkat", "unlinkat", "syncfs"])
def test_a_pkg_add_that_is_killed_happened_or_did_not(layered: Host, copy_host: CopyHost, call: str) -> None:
    before = layered.commit_of()
    tried = 0
    for host in moments(call, layered, copy_host, "pkg-add", "foo"):
        tried += 1
        done = happened(host, "pkg-add", before)
        assert ("foo" in host.current()["requested"]) == done
        # And the host goes on as if nothing had been: what did not happen can be asked for again.
        host.run("pkg-add", "foo", check=1 if done else 0)
        assert host.current()["requested"] == ["baz", "foo"]
        assert FOO in host.rpm_nevras()
    assert tried > 0


def test_a_rollback_that_is_killed_happened_or_did_not(layered: Host, copy_host: CopyHost) -> None:
    start = copy_host(layered)
    start.ok("pkg-add", "foo")
    before = start.commit_of()
    for host in moments("fdatasync", start, copy_host, "rollback", "2"):
        done = happened(host, "rollback", before)
        assert ("foo" in host.current()["requested"]) == (not done)


def test_the_first_command_on_a_host_may_be_killed_too(layered: Host, copy_host: CopyHost) -> None:
    fresh = copy_host(layered)
    fresh.ok("rollback", "1")
    fresh.journal.unlink()
    before = fresh.commit_of()
    for host in moments("fdatasync", fresh, copy_host, "pkg-add", "foo"):
        host.ok("sync")
        history = host.history()
        assert history[0]["verb"] == "adopt"
        assert {entry["outcome"] for entry in history} <= {"committed", "interrupted"}
        if all(entry["verb"] == "adopt" or entry["outcome"] == "interrupted" for entry in history):
            assert host.commit_of() == before
