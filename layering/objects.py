"""Objects out of the package cache into the host's repository: checked on the way, hardlinked where they can be."""

from __future__ import annotations

import stat

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.cached_package import CachedPackage  # noqa: E402
from layering.commit_tree import CHUNK  # noqa: E402
from layering.errors import LayeringError  # noqa: E402
from layering.inodes import owner_and_mode, set_owner_and_mode, write_file  # noqa: E402
from layering.labels import LABEL, pairs_in  # noqa: E402


class CacheBroken(LayeringError):
    """A package in the cache turned out to be damaged and was dropped from it: import it again, then go on."""

    id = "cache-broken"

    def __init__(self, package: CachedPackage, reason: str) -> None:
        super().__init__(f"the cached package {package.nevra} is damaged: {reason}")
        self.package = package.package


class Porter:
    """Brings one package's objects into a repository, inside a transaction of the caller's."""

    def __init__(self, repo: OSTree.Repo, package: CachedPackage) -> None:
        self.repo = repo
        self.package = package
        self._brought: set[tuple[int, str]] = set()

    def bring(self, kind: OSTree.ObjectType, checksum: str) -> None:
        """Make sure that the object is in the repository.

        Raises:
            CacheBroken: it is missing or damaged in the cache.
        """
        key = (int(kind), checksum)
        if key in self._brought:
            return
        _, there = self.repo.has_object(kind, checksum)
        if not there:
            self.check(kind, checksum)
            self.repo.import_object_from_with_trust(self.package.repo, kind, checksum, True)
        self._brought.add(key)

    def check(self, kind: OSTree.ObjectType, checksum: str) -> None:
        """Check the cached object against its checksum.

        Raises:
            CacheBroken: it is missing or damaged.
        """
        cache = self.package.repo
        try:
            cache.fsck_object(kind, checksum)
        except GLib.Error as error:
            # A later import would take a damaged object for the right one, and a find the commit for a whole one.
            for gone, name in ((kind, checksum), (OSTree.ObjectType.COMMIT, self.package.commit)):
                if cache.has_object(gone, name)[1]:
                    cache.delete_object(gone, name)
            # Its other commits, labelled with other policies, share most of their objects with this one.
            cache.set_ref_immediate(None, self.package.ref, None, None)
            raise CacheBroken(self.package, error.message) from error

    def own(self, checksum: str, uid: int, gid: int, mode: int) -> str:
        """Write a file's object again for its real owner and with all its mode bits; return the new checksum."""
        self.check(OSTree.ObjectType.FILE, checksum)
        _, content, info, attributes = self.package.repo.load_file(checksum)
        # A link's object has no mode of its own.
        return write_file(self.repo, content, set_owner_and_mode(info, uid, gid, stat.S_IFREG | mode), attributes)


def same_file(repo: OSTree.Repo, one: str, other: str) -> bool:
    """Whether two files differ in nothing but their SELinux labels: content, mode, owner, other attributes, target."""
    _, content, info, attributes = repo.load_file(one)
    _, other_content, other_info, other_attributes = repo.load_file(other)
    if _facts(info) != _facts(other_info) or _unlabelled(attributes) != _unlabelled(other_attributes):
        return False
    if content is None:
        return True
    while chunk := content.read_bytes(CHUNK).get_data():
        # Reads of a local file are short at its end alone, and the sizes are equal.
        if chunk != other_content.read_bytes(CHUNK).get_data():
            return False
    return True


def link_target(repo: OSTree.Repo, checksum: str) -> str | None:
    """Where a symbolic link points, None where the file is not one."""
    _, _, info, _ = repo.load_file(checksum)
    is_link = info.get_file_type() == Gio.FileType.SYMBOLIC_LINK
    return str(info.get_symlink_target()) if is_link else None


def _facts(info: Gio.FileInfo) -> tuple[object, ...]:
    is_link = info.get_file_type() == Gio.FileType.SYMBOLIC_LINK
    return (*owner_and_mode(info), info.get_file_type(), info.get_symlink_target() if is_link else info.get_size())


def _unlabelled(attributes: GLib.Variant) -> set[tuple[bytes, bytes]]:
    return {pair for pair in pairs_in(attributes) if pair[0].rstrip(b"\0") != LABEL}
