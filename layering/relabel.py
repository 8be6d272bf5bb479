"""Cached packages labelled with another SELinux policy than the tree's: what differs is written again, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.cached_package import CachedPackage  # noqa: E402
from layering.inodes import owner_and_mode  # noqa: E402
from layering.labels import Labels, label_in, relabelled  # noqa: E402
from layering.package_tree import PackageTree  # noqa: E402
from layering.pkgcache import PackageCache  # noqa: E402
from layering.trees import join, lookup, relabelled_metadata  # noqa: E402

Relabel = Callable[[Labels], Sequence[CachedPackage]]
"""The packages of a layer as a policy labels them."""

_FILE = OSTree.ObjectType.FILE


@dataclass
class Relabelling:
    """Packages of the cache, to be called for them as a policy labels them; and what that took.

    looked_at: how many the cache had with the labels of other policies alone. changed: how many of these had a label
    that is another now. paths: how many files and directories that were.
    """

    cache: PackageCache
    packages: Sequence[CachedPackage]
    looked_at: int = 0
    changed: int = 0
    paths: int = 0

    def __call__(self, labels: Labels) -> Sequence[CachedPackage]:
        """The packages with these labels: as the cache has them, or as new commits on their branches there.

        Raises:
            CacheBroken: a cached package is damaged and was dropped: import it again and repeat.
            PolicyBroken: the policy can't be read.
            LayeringError: the cache can't be written.
        """
        found = [_labelled_with(self.cache, package, labels.checksum) for package in self.packages]
        if all(found):
            return [package for package in found if package]
        result = []
        with self.cache.writing() as repo:
            for package, there in zip(self.packages, found, strict=True):
                if there is not None:
                    result.append(there)
                    continue
                root, count = _write(repo, package, labels)
                result.append(self.cache.add_labelled(package, root, labels.checksum))
                self.looked_at += 1
                self.changed += bool(count)
                self.paths += count
        return result

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of it, and to journal."""
        if not self.looked_at:
            return ()
        return (f"relabelled {self.changed} of {self.looked_at} (files and directories: {self.paths})",)


def _labelled_with(cache: PackageCache, package: CachedPackage, policy: str) -> CachedPackage | None:
    if package.policy == policy:
        return package
    return next((each for each in cache.labelled(package) if each.policy == policy), None)


def _write(repo: OSTree.Repo, package: CachedPackage, labels: Labels) -> tuple[OSTree.RepoFile, int]:
    """The package's tree with these labels, and in how many paths it differs from what it was."""
    tree = PackageTree(repo, package)
    root = OSTree.MutableTree.new_from_commit(repo, package.commit)
    count = sum(_directory(tree, path, _descend(root, path), labels) for path in tree.nodes)
    _, written = repo.write_mtree(root)
    return written, count


def _descend(tree: OSTree.MutableTree, path: str) -> OSTree.MutableTree:
    for name in filter(None, path.split("/")):
        tree = lookup(tree, name)
    return tree


def _directory(tree: PackageTree, path: str, directory: OSTree.MutableTree, labels: Labels) -> int:
    porter, repo, node = tree.porter, tree.porter.repo, tree.nodes[path]
    porter.check(OSTree.ObjectType.DIR_META, node.metadata)
    metadata = relabelled_metadata(repo, node.metadata, labels, path)
    directory.set_metadata_checksum(metadata)
    count = int(metadata != node.metadata)
    for name, checksum in sorted(node.files.items()):
        try:
            _, _, info, attributes = repo.load_file(checksum)
        except GLib.Error:
            porter.check(_FILE, checksum)
            raise
        label = labels.label(join(path, name), owner_and_mode(info)[2])
        if label != label_in(attributes):
            porter.check(_FILE, checksum)  # or its damage would get a checksum of its own
            directory.replace_file(name, relabelled(repo, checksum, label))
            count += 1
    return count
