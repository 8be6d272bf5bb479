"""A package's directories while they are put together, and the OSTree tree that they become."""

from __future__ import annotations

import functools
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from journal.printable import printable  # noqa: E402
from layering.errors import ImportRefused  # noqa: E402
from layering.inodes import directory_metadata, directory_owner_and_mode, write_directory  # noqa: E402
from layering.labels import UNLABELLED, Labels, label_in, with_label  # noqa: E402

IMPLIED_MODE = 0o755


@dataclass(slots=True)
class Directory:
    """A directory of a package. mode: None where the package only leads through it. files: name to object checksum."""

    mode: int | None = None
    files: dict[str, str] = field(default_factory=dict)
    symlinks: set[str] = field(default_factory=set)
    directories: dict[str, Directory] = field(default_factory=dict)

    def descend(self, path: str, package: str) -> Directory:
        """The directory at `path`, made where it is not there yet.

        Raises:
            ImportRefused: the package has something else there.
        """
        here = self
        for name in path.split("/"):
            if name in here.files:
                raise _both(path, package)
            here = here.directories.setdefault(name, Directory())
        return here

    def put(self, path: str, checksum: str, package: str, *, link: bool = False) -> None:
        """Put a file's object at `path`.

        Raises:
            ImportRefused: the package has something else there.
        """
        parent, _, name = path.rpartition("/")
        here = self.descend(parent, package) if parent else self
        if name in here.directories or here.files.get(name, checksum) != checksum:
            raise _both(path, package)
        here.files[name] = checksum
        if link:
            here.symlinks.add(name)

    def implied(self, path: str = "") -> Iterator[str]:
        """Directories below this one that the package does not own."""
        for name, child in self.directories.items():
            if child.mode is None:
                yield path + name
            yield from child.implied(f"{path}{name}/")

    def links(self, path: str = "") -> Iterator[str]:
        """Symbolic links below this directory."""
        yield from (path + name for name in self.symlinks)
        for name, child in self.directories.items():
            yield from child.links(f"{path}{name}/")

    def write(self, repo: OSTree.Repo, labels: Labels = UNLABELLED) -> OSTree.RepoFile:
        """Write the tree's objects into the repository, inside a transaction."""
        tree = OSTree.MutableTree.new()
        self._fill(repo, tree, labels, "")
        _, root = repo.write_mtree(tree)
        return root

    def _fill(self, repo: OSTree.Repo, tree: OSTree.MutableTree, labels: Labels, path: str) -> None:
        mode = IMPLIED_MODE if self.mode is None else self.mode
        label = labels.label(path, stat.S_IFDIR | mode)
        tree.set_metadata_checksum(metadata_checksum(repo, mode, label=label))
        for name, checksum in self.files.items():
            tree.replace_file(name, checksum)
        for name, child in self.directories.items():
            _, subtree = tree.ensure_dir(name)
            child._fill(repo, subtree, labels, join(path, name))


def metadata_checksum(repo: OSTree.Repo, mode: int, uid: int = 0, gid: int = 0, label: str | None = None) -> str:
    """Write a directory's metadata object and return its checksum. mode: permission bits."""
    return write_directory(repo, _directory_metadata(mode, uid, gid, label))


def relabelled_metadata(repo: OSTree.Repo, checksum: str, labels: Labels, path: str) -> str:
    """A directory's metadata with the label of `path`: the checksum of the same object, or of one that is written."""
    _, variant = repo.load_variant(OSTree.ObjectType.DIR_META, checksum)
    uid, gid, mode = directory_owner_and_mode(variant)
    label = labels.label(path, mode)
    if label == label_in(variant.get_child_value(3)):
        return checksum
    return metadata_checksum(repo, stat.S_IMODE(mode), uid, gid, label)


def lookup(tree: OSTree.MutableTree, name: str) -> str | OSTree.MutableTree | None:
    """What a directory has by that name: a file's checksum, a directory, or None."""
    try:
        _, checksum, directory = tree.lookup(name)
    except GLib.Error as error:
        if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND):
            return None
        raise
    return directory if directory is not None else str(checksum)


def join(parent: str, name: str) -> str:
    """A path relative to the root, which is the empty path."""
    return f"{parent}/{name}" if parent else name


@functools.cache
def _directory_metadata(mode: int, uid: int, gid: int, label: str | None) -> GLib.Variant:
    return directory_metadata(uid, gid, stat.S_IFDIR | mode, with_label(None, label) if label else None)


def _both(path: str, package: str) -> ImportRefused:
    return ImportRefused(f"{package} has two different things at or around /{printable(path)}")
