"""What scripts do to files of the base, of every kind that a file system knows: all of it is in the layer, exactly."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails, unchanged
from tests.acceptance.host import Host
from tests.acceptance.programs import with_shell
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files

PLACE = "/usr/share/place"
APPLETS = ("dd", "find", "head", "mount", "rmdir", "tr", "yes")


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    files: Files = {
        **{f"/usr/bin/{name}": File(symlink="busybox") for name in APPLETS},
        **{f"{PLACE}/{name}": f"{name}\n" for name in ("one", "two", "gone/a", "gone/deep/b", "moved/c", "again/d")},
        f"{PLACE}/directory/e": "e\n",
        f"{PLACE}/link": File(symlink="directory"),
        f"{PLACE}/file": "file\n",
    }
    tree = with_shell(BaseTree(tmp_path / "remote")).with_files(files)
    tree.commit(BRANCH, "1")
    return tree


def layered(host: Host, repository: Repository, body: str) -> None:
    repository.build("changer", files={}, scripts={"%post": f"set -e\ncd {PLACE}\n{body}"})
    repository.publish()
    host.ok("pkg-add", "changer")


def tree_of(host: Host, index: int = 0) -> dict[str, str]:
    """All that lies at the place: a file's content, a link's target, "/" for a directory."""
    top = host.path(PLACE, index)
    found = {}
    for path in top.rglob("*"):
        name = str(path.relative_to(top))
        found[name] = str(path.readlink()) if path.is_symlink() else "/" if path.is_dir() else path.read_text()
    return found


def test_directories_go_move_and_come_again(host: Host, repository: Repository) -> None:
    layered(host, repository, "rm -r gone; mv moved elsewhere; rm -r again; mkdir again; echo new > again/f")
    now = tree_of(host)
    assert not any(name.split("/")[0] in {"gone", "moved"} for name in now)
    assert now["elsewhere/c"] == "moved/c\n"
    assert [name for name in now if name.startswith("again/")] == ["again/f"]
    before = tree_of(host, 1)
    assert before["gone/deep/b"] == "gone/deep/b\n"
    assert before["again/d"] == "again/d\n"


def test_links_directories_and_files_take_each_other_s_place(host: Host, repository: Repository) -> None:
    swap = "rm link; mkdir link; echo x > link/inside; rm -r directory; ln -s link directory"
    layered(host, repository, f"{swap}; rm file; mkdir file; rm -r moved; echo flat > moved; rm one; ln -s two one")
    now = tree_of(host)
    assert now["link"] == "/"
    assert now["link/inside"] == "x\n"
    assert now["directory"] == "link"
    assert now["file"] == "/"
    assert now["moved"] == "flat\n"
    assert now["one"] == "two"


def test_a_hardlink_of_a_base_file_is_a_file_like_it(host: Host, repository: Repository) -> None:
    layered(host, repository, "ln one uno; ln gone/a b; echo more >> b")
    now = tree_of(host)
    assert now["uno"] == now["one"] == "one\n"
    assert now["b"] == now["gone/a"] == "gone/a\nmore\n"


def test_modes_and_owners_alone_can_change(host: Host, repository: Repository) -> None:
    layered(
        host, repository, "chmod 4711 one; chown games:adm two; chmod 2750 gone; chown daemon gone/deep; chmod 700 ."
    )
    assert host.stat(f"{PLACE}/one").st_mode & 0o7777 == 0o4711
    assert (host.stat(f"{PLACE}/two").st_uid, host.stat(f"{PLACE}/two").st_gid) == (12, 3)
    assert host.stat(f"{PLACE}/gone").st_mode & 0o7777 == 0o2750
    assert host.stat(f"{PLACE}/gone/deep").st_uid == 2
    assert host.stat(PLACE).st_mode & 0o7777 == 0o700
    assert tree_of(host) == tree_of(host, 1)


def test_a_large_file_is_whole(host: Host, repository: Repository) -> None:
    layered(
        host, repository, "yes large | head -c 100000000 > big; dd if=/dev/zero of=sparse bs=1 count=1 seek=50000000"
    )
    large = (b"large\n" * (100_000_000 // 6 + 1))[:100_000_000]
    with host.path(f"{PLACE}/big").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == hashlib.sha256(large).hexdigest()
    assert host.path(f"{PLACE}/sparse").stat().st_size == 50_000_001


# Too much of everything


def test_a_gigabyte_of_output_takes_no_memory_and_its_end_is_kept(host: Host, repository: Repository) -> None:
    repository.build("flood", files={}, scripts={"%post": "yes flood | head -c 1073741824; echo the end; exit 3"})
    repository.publish()
    with unchanged(host):
        result, memory = host.measure("pkg-add", "flood")
    assert result.exit == 1
    assert "the end" in result.stderr
    assert len(result.stderr) < 6000
    assert memory < 150 << 20  # the libraries' own included


def test_the_room_in_memory_is_limited(host: Host, repository: Repository) -> None:
    layered(host, repository, "cat /proc/mounts > mounts")
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024 // 2
    mounts = {line.split()[1]: line.split()[3] for line in host.read(f"{PLACE}/mounts").splitlines()}
    for place in ("/tmp", "/var/tmp", "/run"):  # noqa: S108 - the sandbox's
        sizes = re.findall(r"\bsize=(\d+)k\b", mounts[place])
        assert [int(size) < half for size in sizes] == [True]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "small", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_script_that_fills_the_disk_fails_and_gives_the_room_back(
    base: BaseTree, repository: Repository, small_disk: Path
) -> None:
    host = Host.install(small_disk / "sysroot", base.repo)
    host.set_repo(repository.repo_file())
    repository.build("filler", files={}, scripts={"%post": f"cat /dev/zero > {PLACE}/zeros"})
    repository.publish()
    host.ok("pkg-add", "foo")
    before = os.statvfs(small_disk).f_bavail
    result = fails(host, "pkg-add", "filler")
    assert "No space left on device" in result.stderr
    assert "filler-1.0-1.noarch: %post" in result.stderr
    assert os.statvfs(small_disk).f_bavail > before - 1000
    host.ok("pkg-delete", "foo")


def test_standard_input_is_empty(host: Host, repository: Repository) -> None:
    layered(host, repository, "cat > read; read line && exit 7; echo nothing >> read")
    assert host.read(f"{PLACE}/read") == "nothing\n"
