"""Real bases and packages for tests of layering: a bare repository with a committed image, and a cache beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from journal.events import Package  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.commit_tree import CHUNK, file_info  # noqa: E402
from layering.graft import graft  # noqa: E402
from layering.layer_key import layer_inputs  # noqa: E402
from layering.layered_commit import Composed, compose  # noqa: E402
from layering.pkgcache import PackageCache, cache_path  # noqa: E402
from tests.acceptance.bases import BaseTree  # noqa: E402
from tests.acceptance.rpms import Files, build_rpm, nevra  # noqa: E402

__all__ = ["BASE_TIME", "Found", "GLib", "Gio", "Ground", "OSTree", "find"]

BASE_TIME = 1_710_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a commit has at a path. mode: permission bits."""

    kind: Gio.FileType
    mode: int
    uid: int
    gid: int
    data: bytes = b""
    target: str = ""
    attributes: tuple[tuple[bytes, bytes], ...] = ()


class Ground:
    """A sysroot's repository, its package cache, and a place for RPMs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "ostree/repo"
        self.path.parent.mkdir(parents=True)
        self.repo = OSTree.Repo.new(Gio.File.new_for_path(str(self.path)))
        self.repo.create(OSTree.RepoMode.BARE)
        self.repo.set_disable_fsync(True)
        self.cache = PackageCache(cache_path(directory))
        self.scratch = directory / "scratch"
        self.scratch.mkdir()

    def base(self, files: Files | None = None, tree: Path | None = None) -> str:
        """Commit a base image with some files more, by their path in the image; or the directory `tree`."""
        image = tree or BaseTree(self.directory / "remote").with_files(files or {}).compose()
        command = ["ostree", f"--repo={self.path}", "commit", "--branch=base", f"--tree=dir={image}"]
        command += ["--bootable"] if tree is None else []  # which it is where it has a kernel
        command += ["--add-metadata-string=version=40.1", f"--timestamp=@{BASE_TIME}", "--fsync=false"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def package(self, name: str, files: Files, version: str = "1.0", arch: str = "noarch") -> CachedPackage:
        """Build a package and import it."""
        return self.imported(build_rpm(self.directory / "rpms", name, version, arch=arch, files=files))

    def imported(self, path: Path) -> CachedPackage:
        return self.cache.import_rpm(path, Package(nevra(path).replace("-0:", "-")))

    def grafted(self, base: str, packages: Iterable[CachedPackage]) -> str:
        """Graft without an rpmdb, and commit the tree."""
        self.repo.prepare_transaction()
        try:
            grafted = graft(self.repo, base, list(packages))
            _, root = self.repo.write_mtree(grafted.tree)
            _, commit = self.repo.write_commit_with_time(base, "graft", "", None, root, BASE_TIME)
            self.repo.transaction_set_ref(None, "graft", commit)
            self.repo.commit_transaction()
        except BaseException:
            self.repo.abort_transaction()
            raise
        return str(commit)

    def composed(self, base: str, packages: Iterable[CachedPackage]) -> Composed:
        packages = list(packages)
        return compose(self.repo, layer_inputs(base, [one.package for one in packages]), packages, self.scratch)

    def find(self, commit: str, path: str) -> Found | None:
        return find(self.repo, commit, path)

    def fsck(self) -> None:
        """Every object of the repository is what its name says."""
        done = subprocess.run(["ostree", f"--repo={self.path}", "fsck"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def find(repo: OSTree.Repo, commit: str, path: str) -> Found | None:
    """What the commit has at exactly this path, links not followed."""
    _, root, _ = repo.read_commit(commit)
    file = root.resolve_relative_path(path.strip("/"))
    info = file_info(file)
    if info is None:
        return None
    if info.get_file_type() == Gio.FileType.DIRECTORY:
        info = file.query_info("unix::*", Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None)
        return Found(Gio.FileType.DIRECTORY, *_numbers(info))
    _, content, info, attributes = repo.load_file(file.get_checksum())
    data = b""
    while content is not None and (chunk := content.read_bytes(CHUNK).get_data()):
        data += chunk
    return Found(
        info.get_file_type(),
        *_numbers(info),
        data,
        info.get_symlink_target() or "",
        tuple((bytes(name), bytes(value)) for name, value in attributes.unpack()),
    )


def _numbers(info: Gio.FileInfo) -> tuple[int, int, int]:
    mode, uid, gid = (info.get_attribute_uint32(f"unix::{key}") for key in ("mode", "uid", "gid"))
    return mode & 0o7777, uid, gid
