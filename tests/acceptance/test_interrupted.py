"""Ctrl-C or a failing disk at any moment: what is told, and the exit code, are what the journal has and the host shows.

`strace` sends SIGINT just before the n-th system call of a kind, or lets that call fail; which moments are tried is as
in test_crash.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host, Result, environment

STRIDE = 1 if os.environ.get("LAYER_FAULTS") == "all" else 3


@pytest.fixture(scope="module")
def layered(shared: Shared) -> Host:
    """A host with one layer."""
    host = shared.host
    host.ok("pkg-add", "baz")
    return host


@pytest.fixture
def trace() -> Iterator[Path]:
    """Where strace writes: in memory, since libostree freezes the sysroot's file system for a moment.

    On that one strace would wait for the process that it keeps from thawing it, and with both everybody who writes
    there, until libostree's watchdog thaws it 30 seconds later.
    """
    with TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "trace"


def disturbed(
    host: Host, copy_host: CopyHost, trace: Path, disturbance: str, *args: str
) -> Iterator[tuple[Host, Result]]:
    """For each of the moments a copy of the host, and what the command that was disturbed there came to.

    disturbance: `CALL:signal=INT` or `CALL:error=EIO`, see strace(1).
    """
    number = STRIDE
    call = disturbance.partition(":")[0]
    # With BPF strace sees no other calls, which is five times as fast; but then it sends no signals.
    strace = ("strace",) if "signal" in disturbance else ("strace", "-f", "--seccomp-bpf")
    while True:
        copy = copy_host(host)
        inject = f"inject={disturbance}:when={number}"
        command = (*strace, "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", inject, *copy.command(*args))
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if not re.search(r"--- SIGINT|\(INJECTED\)", trace.read_text()):
            return
        yield copy, Result(command, done.returncode, done.stdout, done.stderr)
        number += STRIDE


@pytest.mark.parametrize("call", ["renameat", "symlinkat", "unlink"])
def test_what_is_told_after_ctrl_c_is_what_happened(layered: Host, copy_host: CopyHost, trace: Path, call: str) -> None:
    before = layered.commit_of()
    recorded = len(layered.history())
    told = set()
    for host, result in disturbed(layered, copy_host, trace, f"{call}:signal=INT", "pkg-add", "foo"):
        history = host.history()
        outcome = history[-1]["outcome"] if len(history) > recorded else None
        if host.commit_of() == before:
            assert (result.exit, result.stdout) == (1, ""), str(result)
            assert "Cancelled" in result.stderr
            assert outcome in (None, "failed")
        else:
            assert (result.exit, outcome) == (0, "committed"), str(result)
            assert f"Transaction {history[-1]['transaction']} committed.\n" in result.stdout
            assert "Cancelled" not in result.stderr
        told.add(result.exit)
    assert 0 in told


def test_what_is_told_when_the_disk_fails_is_what_happened(layered: Host, copy_host: CopyHost, trace: Path) -> None:
    """Regression: an error after the deployment switch did not say that the switch was made."""
    before = layered.commit_of()
    told = set()
    for host, result in disturbed(layered, copy_host, trace, "fdatasync:error=EIO", "pkg-add", "foo"):
        happened = host.commit_of() != before
        assert happened or result.exit == 1, str(result)
        assert "Traceback" not in result.stderr
        assert "internal error" not in result.stderr, str(result)
        assert ("error: The change is in place, but: " in result.stderr) == (happened and result.exit == 1), str(result)
        host.ok("sync")
        last = host.last()
        assert (last["outcome"] == "committed" and last["requested"] == ["baz", "foo"]) == happened, str(last)
        told.add((happened, result.exit))
    assert told >= {(False, 1), (True, 1)}


def test_a_layer_that_came_to_the_disk_in_part_is_not_taken_for_a_whole_one(
    layered: Host, copy_host: CopyHost, trace: Path
) -> None:
    """Regression: going back to it a second time deployed it, and failed for what it lacks."""
    past = copy_host(layered)
    past.ok("pkg-add", "foo")
    number, commit = past.last()["transaction"], past.commit_of()
    past.ok("pkg-delete", "foo")
    past.ok("cleanup", "-r")
    past.ok("cleanup", "-b", "--keep", "1")
    failed = 0
    for host, result in disturbed(past, copy_host, trace, "renameat:error=ENOSPC", "rollback", str(number)):
        failed += result.exit
        host.fsck()
        host.ok("rollback", str(number), "--idempotent")
        assert host.commit_of() == commit
    assert failed
