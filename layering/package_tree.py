"""The tree of a cached package, read from its commit: which directories there are, and what is in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import gi
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.cached_package import CachedPackage  # noqa: E402
from layering.objects import CacheBroken, Porter  # noqa: E402
from layering.paths import place  # noqa: E402
from layering.payload import Owner, entry_of  # noqa: E402
from layering.trees import join  # noqa: E402

_TREE = OSTree.ObjectType.DIR_TREE


@dataclass(frozen=True, slots=True)
class Node:
    """A directory of a package's tree. contents, metadata: checksums. files: name to checksum."""

    contents: str
    metadata: str
    files: dict[str, str]
    directories: list[str]


class PackageTree:
    """One package while it is laid: its directories, by their path in the image.

    Raises:
        CacheBroken: its commit or one of its directories is damaged.
    """

    def __init__(self, repo: OSTree.Repo, package: CachedPackage) -> None:
        self.package = package
        self.porter = Porter(repo, package)
        attributes = package.attributes
        self.owners: dict[str, Owner] = {owner.path: owner for owner in attributes.owners}
        self.implied = frozenset(attributes.implied)
        # Directories that can't be attached as they are: something at or below them belongs to somebody else.
        self.rewritten = {parent for path in self.owners for parent in _self_and_parents(path)}
        self.nodes: dict[str, Node] = {}
        self.porter.check(OSTree.ObjectType.COMMIT, package.commit)
        try:
            self._read("", OSTree.MutableTree.new_from_commit(package.repo, package.commit))
        except GLib.Error as error:
            raise CacheBroken(package, error.message) from error

    def colour(self, path: str) -> int:
        """rpm's colour of the file at a path of the image: 1 for ELF32, 2 for ELF64, else 0."""
        for file in rpm.files(self.package.header):
            if place(entry_of(file, self.package.nevra), self.package.nevra).path == path:
                return int(file.color)
        return 0

    def _read(self, path: str, tree: OSTree.MutableTree) -> None:
        self.porter.check(_TREE, tree.get_contents_checksum())
        directories = tree.get_subdirs()
        self.nodes[path] = Node(
            tree.get_contents_checksum(), tree.get_metadata_checksum(), tree.get_files(), sorted(directories)
        )
        for name, child in directories.items():
            self._read(join(path, name), child)


def _self_and_parents(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
