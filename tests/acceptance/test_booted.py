"""Changes on a system that runs from one of its deployments: they wait for the next boot, which can be asked for."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH
from tests.acceptance.booted import Booted
from tests.acceptance.host import REMOTE, Host


def test_it_is_booted(booted: Booted) -> None:
    assert "●" in booted.run("status").stdout


def test_a_change_is_staged_for_the_next_boot_and_said_to_be(booted: Booted) -> None:
    """The running deployment stays the booted one; the staged one is what the next change starts from.

    Regression: with kernel arguments to take on, as every real host has them, nothing could be staged.
    """
    said = booted.run("pkg-add", "baz")
    assert 'Changes queued for next boot. Run "systemctl reboot" to start a reboot' in said.stdout
    status = json.loads(booted.run("status", "--json").stdout)["deployments"]
    assert [(each["booted"], each["staged"], each["requested"]) for each in status] == [
        (False, True, ["baz", "foo"]),
        (True, False, ["foo"]),
        (False, False, []),
    ]
    assert b"root=LABEL=root" in (booted.run_directory / "ostree/staged-deployment").read_bytes()
    told = booted.run("status").stdout
    assert f"  {REMOTE}:{BRANCH} (staged)\n" in told
    assert f"● {REMOTE}:{BRANCH}\n" in told
    booted.run("pkg-delete", "foo")
    assert booted.host.last()["requested"] == ["baz"]


def test_what_waits_for_the_next_boot_is_an_exit_code_where_asked_for(booted: Booted) -> None:
    assert "Deployments:" in booted.run("status", "--pending-exit-77", check=0).stdout
    booted.run("pkg-add", "baz")
    booted.run("status", check=0)
    staged = booted.run("status", "--pending-exit-77", "--json", check=77)
    assert json.loads(staged.stdout)["deployments"][0]["staged"] is True
    booted.run("cleanup", "-p")
    booted.run("status", "--pending-exit-77", check=0)
    booted.run("rollback")
    booted.run("status", "--pending-exit-77", check=77)
    assert "--as-of" in booted.run("status", "--pending-exit-77", "--as-of", "2", check=2).stderr


def test_where_nothing_is_booted_nothing_is_pending(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("status", "--pending-exit-77")


def test_the_journal_is_in_var_where_sysroot_is_read_only(booted: Booted) -> None:
    """Regression: it was reached by /sysroot, and so was the repository from before it could be written."""
    assert json.loads(booted.run("status", "--json").stdout)["journal"]["path"] == "/var/lib/layer/journal.db"
    assert "Transaction 3 committed." in booted.run("pkg-add", "baz").stdout
    assert [entry["outcome"] for entry in booted.host.history()] == ["committed"] * 3


def with_systemctl(directory: Path, status: int = 0) -> tuple[dict[str, str], Path]:
    """Surroundings with a systemctl that only notes how it is called, and where it does; nothing here may reboot."""
    (directory / "bin").mkdir(exist_ok=True)
    calls, program = directory / "calls", directory / "bin/systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit {status}\n')
    program.chmod(0o755)
    calls.write_text("")
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}, calls


def test_a_reboot_follows_a_change_and_no_other_outcome(booted: Booted, tmp_path: Path) -> None:
    env, calls = with_systemctl(tmp_path)
    booted.run("pkg-add", "foo", "--idempotent", "--reboot", env=env)
    booted.run("pkg-add", "baz", "--reboot", "--dry-run", env=env)
    booted.run("pkg-add", "no-such", "-r", env=env, check=1)
    assert "reboot" not in calls.read_text().split()
    booted.run("pkg-add", "baz", "-r", env=env)
    assert calls.read_text().splitlines()[-1] == "reboot"


def test_a_reboot_that_fails_is_told_and_the_change_stays(booted: Booted, tmp_path: Path) -> None:
    """Regression: it was told as an internal error."""
    env, _ = with_systemctl(tmp_path, status=1)
    done = booted.run("pkg-add", "baz", "-r", env=env, check=1)
    assert "Transaction 3 committed." in done.stdout
    assert done.stderr == "error: The change is in place, but `systemctl reboot` failed\n"
    assert booted.host.last()["requested"] == ["baz", "foo"]


def test_elsewhere_than_on_the_running_system_nothing_is_rebooted(booted: Booted, tmp_path: Path) -> None:
    env, calls = with_systemctl(tmp_path)
    done = booted.host.run("pkg-add", "baz", "-r", env=env, check=0)
    assert "Not rebooting" in done.stderr
    assert calls.read_text() == ""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    image, mounted = tmp_path / "disk.img", tmp_path / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    yield mounted
    subprocess.run(["umount", "--lazy", mounted], check=True)


def test_a_file_system_that_is_frozen_for_a_moment_is_waited_for(booted: Booted, disk: Path, tmp_path: Path) -> None:
    """Regression: /sysroot can't be made writable then, as for a backup, or where libostree writes another sysroot."""
    frozen = Booted(booted.host.copy_to(disk / "sysroot"), tmp_path / "again")
    thaw = threading.Timer(2, subprocess.run, [["fsfreeze", "--unfreeze", disk]], {"check": True})
    subprocess.run(["fsfreeze", "--freeze", disk], check=True)
    thaw.start()
    try:
        assert "Transaction 3 committed." in frozen.run("pkg-add", "baz").stdout
    finally:
        thaw.join()
