"""What lies below the overlay: the base on disk, and on it a directory of what the packages brought.

Both are hardlinks to the repository's objects where the file system allows. They lie where nobody but root can go, so
that no file of a package is within the host's reach.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.commit_tree import copy_content  # noqa: E402
from layering.inodes import directory_owner_and_mode, owner_and_mode  # noqa: E402

_TEMPORARY = "run-"
_AT_FDCWD = -100  # fcntl.h: the path is not relative to a descriptor


def work_directory(repo: OSTree.Repo) -> Path:
    """Where base checkouts and overlays lie: beside the package cache, closed to all but root."""
    # A sysroot's repository may be known by its descriptor: its path is /proc/self/fd/N, for this process alone.
    directory = Path(repo.get_path().get_path()).resolve() / "extensions/layer"
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    return directory


def base_checkout(repo: OSTree.Repo, commit: str) -> Path:
    """The base commit as hardlinks, kept for the next time; that of another base makes place for it."""
    bases = work_directory(repo) / "base"
    target = bases / commit
    if target.exists():
        return target
    shutil.rmtree(bases, ignore_errors=True)
    bases.mkdir(mode=0o700)
    # It has its name once it is whole: what was cut off is not taken for it.
    partial = bases / "partial"
    options = OSTree.RepoCheckoutAtOptions()
    options.mode = OSTree.RepoCheckoutMode.NONE
    repo.checkout_at(options, _AT_FDCWD, str(partial), commit, None)
    partial.rename(target)
    return target


def lay_out_changes(repo: OSTree.Repo, base: str, root: OSTree.RepoFile, target: Path) -> None:
    """Lay out in `target` what the tree has and the base commit has not; it takes nothing away from the base."""
    tree = OSTree.MutableTree.new_from_checksum(
        repo, root.tree_get_contents_checksum(), root.tree_get_metadata_checksum()
    )
    _directory(repo, tree.get_metadata_checksum(), target)
    _changes(repo, OSTree.MutableTree.new_from_commit(repo, base), tree, target)


def _changes(repo: OSTree.Repo, base: OSTree.MutableTree | None, tree: OSTree.MutableTree, target: Path) -> None:
    before = base.get_files() if base else {}
    for name, checksum in tree.get_files().items():
        if before.get(name) != checksum:
            _file(repo, checksum, target / name)
    directories = base.get_subdirs() if base else {}
    for name, child in tree.get_subdirs().items():
        there = directories.get(name)
        if there is None or _checksums(there) != _checksums(child):
            _directory(repo, child.get_metadata_checksum(), target / name)
            _changes(repo, there, child, target / name)


def _checksums(tree: OSTree.MutableTree) -> tuple[str, str]:
    return tree.get_contents_checksum(), tree.get_metadata_checksum()


def _directory(repo: OSTree.Repo, metadata: str, target: Path) -> None:
    _, variant = repo.load_variant(OSTree.ObjectType.DIR_META, metadata)
    uid, gid, mode = directory_owner_and_mode(variant)
    target.mkdir(exist_ok=True)
    os.chown(target, uid, gid)
    target.chmod(mode & 0o7777)
    _set_attributes(target, variant.get_child_value(3))


def _file(repo: OSTree.Repo, checksum: str, target: Path) -> None:
    stored = Path(repo.get_path().get_path(), "objects", checksum[:2], f"{checksum[2:]}.file")
    try:
        os.link(stored, target, follow_symlinks=False)
    except OSError:
        _copy(repo, checksum, target)  # another file system, or too many links


def _copy(repo: OSTree.Repo, checksum: str, target: Path) -> None:
    _, content, info, attributes = repo.load_file(checksum)
    uid, gid, mode = owner_and_mode(info)
    if info.get_file_type() == Gio.FileType.SYMBOLIC_LINK:
        target.symlink_to(info.get_symlink_target())
        os.chown(target, uid, gid, follow_symlinks=False)
    else:
        with target.open("wb") as file:
            copy_content(content, file)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode & 0o7777)
        os.utime(target, (0, 0))
    _set_attributes(target, attributes)


def _set_attributes(target: Path, attributes: GLib.Variant) -> None:
    for name, value in attributes.unpack():
        os.setxattr(target, bytes(name).rstrip(b"\0"), bytes(value), follow_symlinks=False)


@contextmanager
def temporary(directory: Path) -> Iterator[Path]:
    """A directory to work in that is gone afterwards, closed to all but root."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=_TEMPORARY) as name:
        yield Path(name)


def clear_away(directory: Path) -> None:
    """Remove what a process that was killed left here; the sysroot's lock says that no other one is at work."""
    for left in directory.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True)
