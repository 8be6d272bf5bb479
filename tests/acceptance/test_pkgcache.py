"""The package cache on a real host: losing it, or any object of it, costs time and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import unchanged
from tests.acceptance.conftest import CopyHost
from tests.acceptance.host import Host, environment
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File

MODES = {"file": 0o711, "dirtree": 0o701, "dirmeta": 0o771, "commit": 0o751, "ref": 0o731}


def cache_of(host: Host) -> Path:
    return host.repo / "extensions/layer/pkgcache"


def parts(host: Host, kind: str) -> set[Path]:
    pattern = "refs/heads/layer/pkg/*/*/*" if kind == "ref" else f"objects/??/*.{kind}"
    return set(cache_of(host).glob(pattern))


@pytest.mark.parametrize("damage", ["missing", "empty", "halved"])
def test_any_part_of_the_cache_may_be_damaged(host: Host, repository: Repository, damage: str) -> None:
    """One of each kind, of a package that only the cache has: each is had again."""
    for kind, mode in MODES.items():
        data = f"the {kind}'s data\n"
        repository.build(kind, files={f"/usr/{kind}": File(directory=True, mode=mode), f"/usr/{kind}/data": data})
    repository.publish()
    for kind, mode in MODES.items():
        before = parts(host, kind)
        host.ok("pkg-add", "--download-only", kind)
        path = min(parts(host, kind) - before)
        content = path.read_bytes()
        path.unlink()
        if damage != "missing":
            path.write_bytes(content[: len(content) // 2] if damage == "halved" else b"")
        host.ok("pkg-add", kind)
        assert host.read(f"/usr/{kind}/data") == f"the {kind}'s data\n"
        assert host.path(f"/usr/{kind}").stat().st_mode & 0o7777 == mode
    host.fsck()


@pytest.mark.parametrize("damage", ["missing", "empty", "no configuration", "directory"])
def test_a_cache_that_cannot_be_opened_is_made_anew_by_what_layers(host: Host, damage: str) -> None:
    """Regression: every verb ended with an internal error; for reading ones it is as if there were none."""
    host.ok("pkg-add", "foo")
    config = cache_of(host) / "config"
    config.unlink()
    if damage == "directory":
        config.mkdir()
    elif damage != "missing":
        config.write_text("" if damage == "empty" else "[[[\n")
    told = json.loads(host.run("doctor", "--json", check=0 if damage == "missing" else 3).stdout)
    assert [each["kind"] for each in told] == ([] if damage == "missing" else ["cache-damaged"])
    host.ok("pkg-add", "--dry-run", "bar")
    host.ok("cleanup", "-b")
    assert config.is_dir() == (damage == "directory")  # they write nothing there
    host.ok("pkg-add", "bar")
    assert host.json("doctor") == []
    assert host.read("/usr/bin/foo")


def test_the_cache_may_go_between_any_two_commands(host: Host, base: BaseTree, copy_host: CopyHost) -> None:
    """The other host keeps its cache: both come to the same commits all the way."""
    commands = [
        ["pkg-add", "foo"],
        ["pkg-add", "bar", "baz"],
        ["pkg-delete", "bar"],
        ["upgrade"],
        ["rollback", "3"],
        ["pkg-add", "left", "--uninstall", "baz"],
        ["pin", "2"],
        ["cleanup", "-b"],
        ["deploy", "1"],
        ["pkg-delete", "--all"],
    ]
    host.ok("sync")
    base.commit(BRANCH, "2")
    other = copy_host(host)
    for command in commands:
        for each in (host, other):
            each.ok(*command)
        assert host.commit_of() == other.commit_of(), command
        shutil.rmtree(cache_of(host), ignore_errors=True)


def large_repository(repository: Repository, count: int = 12) -> list[str]:
    """Packages enough to be imported several at a time, and for a while."""
    names = [f"large{number}" for number in range(count)]
    for name in names:
        files = {f"/usr/share/{name}/{index}": f"{name} {index} " * 3_000 for index in range(60)}
        repository.build(name, files=files, payload="w.ufdio")
    repository.publish()
    return names


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_cut_off_in_the_middle_of_an_import(host: Host, repository: Repository, number: signal.Signals) -> None:
    """What was imported stays, nothing runs on, and the next command goes on from there."""
    names = large_repository(repository)
    with unchanged(host):
        process = subprocess.Popen(
            host.command("pkg-add", *names),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while not parts(host, "ref"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.kill()
        _, said = process.communicate()  # at its end: no process holds the pipe any more
        assert process.returncode != 0
        assert "Traceback" not in said
        imported = parts(host, "ref")
        assert 0 < len(imported) < len(names)
        host.ok("sync")
        assert host.last()["outcome"] in {"interrupted", "failed"}
    host.ok("pkg-add", *names)
    assert len(host.current()["layered"]) == len(names)
    assert imported <= parts(host, "ref")


def in_namespace(host: Host, mounts: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace of its own, after a shell has mounted something on `$0`, the cache."""
    command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', str(cache_of(host)), *host.command(*args)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


FULL = 'mount -t tmpfs -o size=3m tmpfs "$0"'
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'


# libostree keeps some space back, and may come too late with that where several import.
@pytest.mark.parametrize(
    ("mounts", "reason", "count"),
    [(FULL, "would be exceeded|No space left|are free for", 12), (READ_ONLY, "Read-only file system", 1)],
    ids=["full", "read-only"],
)
def test_a_cache_that_cannot_be_written_is_told(
    host: Host, repository: Repository, mounts: str, reason: str, count: int
) -> None:
    names = large_repository(repository, count)
    host.ok("pkg-add", "--download-only", "foo")  # so that there is a cache
    with unchanged(host):
        done = in_namespace(host, mounts, "pkg-add", *names)
        assert done.returncode == 1
        assert re.search(reason, done.stderr)
        assert "package cache" in done.stderr
        assert "Traceback" not in done.stderr
    assert host.last()["outcome"] == "failed"
    host.ok("pkg-add", *names)
    assert len(host.current()["layered"]) == count
