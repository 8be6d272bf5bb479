"""Pins and cleanups that are cut off: the next command finds that they happened, or that they did not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.host import Host, environment
from tests.acceptance.repositories import Repository

# Runs the command line with one step of the sysroot's replaced by one that dies, before or after it is done.
_DYING = """
import os, sys
from layering import sysroot
step, when, *sys.argv[1:] = sys.argv[1:]
original = getattr(sysroot.Sysroot, step)
def dying(self, *arguments):
    if when == "after":
        original(self, *arguments)
    os.kill(os.getpid(), 9)
setattr(sysroot.Sysroot, step, dying)
import cli.main
cli.main.main()
"""


def die(host: Host, step: str, when: str, *arguments: str) -> None:
    """Run a command that is killed before or after a step."""
    command = [sys.executable, "-c", _DYING, step, when, *host.command(*arguments)[1:]]
    assert subprocess.run(command, env=environment(), capture_output=True, check=False).returncode == -9


OUTCOMES = pytest.mark.parametrize(("when", "outcome"), [("before", "interrupted"), ("after", "committed")])


@OUTCOMES
def test_a_pin(host: Host, when: str, outcome: str) -> None:
    host.ok("pkg-add", "foo")
    die(host, "set_pinned", when, "pin", "2")
    host.ok("sync")
    assert (host.last()["verb"], host.last()["outcome"]) == ("pin", outcome)
    assert host.last()["recovered"] == (when == "after")
    assert host.current()["pinned"] == (when == "after")
    again = host.ok("pin", "2").stdout
    assert ("already pinned" in again) == (when == "after")


@OUTCOMES
def test_an_unpin(host: Host, when: str, outcome: str) -> None:
    host.ok("pkg-add", "foo")
    host.ok("pin", "2")
    die(host, "set_pinned", when, "unpin", "2")
    host.ok("sync")
    assert (host.last()["verb"], host.last()["outcome"]) == ("unpin", outcome)
    assert host.current()["pinned"] == (when == "before")
    assert ("not pinned" in host.ok("unpin", "2").stdout) == (when == "after")


@OUTCOMES
def test_dropping_deployments(host: Host, when: str, outcome: str) -> None:
    host.ok("pkg-add", "foo")
    head, previous = host.deployments()
    die(host, "drop", when, "cleanup", "-r")
    host.ok("sync")
    assert (host.last()["verb"], host.last()["outcome"]) == ("cleanup", outcome)
    assert host.deployments() == ([head, previous] if when == "before" else [head])


@pytest.mark.parametrize("step", ["let_go", "prune"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_dropping_commits(host: Host, repository: Repository, step: str, when: str) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    host.ok("pkg-delete", "foo")
    host.ok("cleanup", "-r")
    die(host, step, when, "cleanup", "-b", "--keep", "0")
    host.fsck()
    host.ok("sync")
    assert host.last()["outcome"] == "interrupted"
    host.ok("rollback", "2")
    assert (host.commit_of(), host.read("/usr/bin/foo")) == (layered, "#!/bin/sh\necho foo\n")
