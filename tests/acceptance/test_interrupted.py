"""Ctrl-C at any moment: what is told, and the exit code, are what the journal has and the host shows.

`strace` sends SIGINT just before the n-th system call of a kind; which moments are tried is as in test_crash.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

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


def interrupted(host: Host, copy_host: CopyHost, trace: Path, call: str, *args: str) -> Iterator[tuple[Host, Result]]:
    """For each of the moments a copy of the host, and what the command that was interrupted there came to."""
    number = 1
    while True:
        copy = copy_host(host)
        inject = f"inject={call}:signal=INT:when={number}"
        command = ("strace", "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", inject, *copy.command(*args))
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if "--- SIGINT" not in trace.read_text():
            return
        yield copy, Result(command, done.returncode, done.stdout, done.stderr)
        number += STRIDE


@pytest.mark.parametrize("call", ["renameat", "symlinkat", "unlink"])
def test_what_is_told_after_ctrl_c_is_what_happened(
    layered: Host, copy_host: CopyHost, tmp_path: Path, call: str
) -> None:
    before = layered.commit_of()
    recorded = len(layered.history())
    told = set()
    for host, result in interrupted(layered, copy_host, tmp_path / "trace", call, "pkg-add", "foo"):
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
