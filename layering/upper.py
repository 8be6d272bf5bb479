"""What scripts changed: an overlay's upper directory, laid into the tree that it lies over.

Only what is in the upper directory is looked at. What has come to be the same object as before changes nothing: times
are not part of OSTree's objects. Source: the kernel's Documentation/filesystems/overlayfs.rst (whiteouts, opaque).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.commit_tree import CHUNK  # noqa: E402
from layering.errors import LayeringError  # noqa: E402
from layering.inodes import directory_metadata, write_directory  # noqa: E402
from layering.labels import LABEL, UNLABELLED, Labels, attributes_of, pairs_in  # noqa: E402
from layering.trees import join, lookup  # noqa: E402

_OVERLAY = "trusted.overlay."
_OPAQUE = f"{_OVERLAY}opaque"
_WHITEOUT = os.makedev(0, 0)


def absorb(
    repo: OSTree.Repo, tree: OSTree.MutableTree, upper: Path, skip: str, labels: Labels = UNLABELLED
) -> list[str]:
    """Lay the upper directory into the tree, inside a transaction of the caller's; returns what was left out.

    skip: a directory, relative to the root, whose content is none of the scripts' business. labels: what the tree's
    policy gives; where it has none, a path keeps the label of what was there.

    Raises:
        LayeringError: a name is not UTF-8, which OSTree can't hold.
    """
    return _Upper(repo, skip, labels).directory(upper, tree, "")


class _Upper:
    def __init__(self, repo: OSTree.Repo, skip: str, labels: Labels) -> None:
        self.repo = repo
        self.skip = skip
        self.labels = labels

    def directory(self, upper: Path, tree: OSTree.MutableTree, real: str) -> list[str]:
        """One directory's entries into the tree's directory `real`."""
        notes = []
        for entry in sorted(os.scandir(upper), key=lambda entry: os.fsencode(entry.name)):
            here = join(real, entry.name)
            if here == self.skip:
                continue
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                raise LayeringError(f"a script made /{os.fsencode(here)!r}, whose name is not UTF-8") from None
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == _WHITEOUT:
                tree.remove(entry.name, True)
            elif entry.is_dir(follow_symlinks=False):
                notes += self._subdirectory(Path(entry.path), info, tree, here)
            elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
                self._file(Path(entry.path), info, tree, here)
            else:
                tree.remove(entry.name, True)
                notes.append(f"/{here}, made by a script, is left out: it is a device, a fifo or a socket")
        return notes

    def _subdirectory(self, upper: Path, info: os.stat_result, tree: OSTree.MutableTree, real: str) -> list[str]:
        there = lookup(tree, upper.name)
        label = self._label(real, info.st_mode, self._directory_label(there))
        if isinstance(there, str) or (there is not None and _is_opaque(upper)):
            tree.remove(upper.name, False)
        _, directory = tree.ensure_dir(upper.name)
        metadata = directory_metadata(info.st_uid, info.st_gid, info.st_mode, _attributes(upper, label))
        directory.set_metadata_checksum(write_directory(self.repo, metadata))
        return self.directory(upper, directory, real)

    def _file(self, upper: Path, info: os.stat_result, tree: OSTree.MutableTree, real: str) -> None:
        there = lookup(tree, upper.name)
        found = _label_in(self.repo.load_file(there)[3]) if isinstance(there, str) else None
        label = self._label(real, info.st_mode, found)
        attributes = _attributes(upper, label)
        if stat.S_ISLNK(info.st_mode):
            checksum = self.repo.write_symlink(None, info.st_uid, info.st_gid, attributes, os.fspath(upper.readlink()))
        else:
            writer = self.repo.write_regfile(None, info.st_uid, info.st_gid, info.st_mode, info.st_size, attributes)
            with upper.open("rb") as file:
                while chunk := file.read(CHUNK):
                    writer.write_all(chunk)
            checksum = writer.finish()
        if isinstance(there, OSTree.MutableTree):
            tree.remove(upper.name, False)
        tree.replace_file(upper.name, checksum)

    def _label(self, real: str, mode: int, found: bytes | None) -> bytes | None:
        """The policy's label for a path; without a policy that of what was found there."""
        if self.labels.policy is None:
            return found
        label = self.labels.label(real, mode)
        return None if label is None else label.encode() + b"\0"

    def _directory_label(self, there: str | OSTree.MutableTree | None) -> bytes | None:
        if not isinstance(there, OSTree.MutableTree) or not there.get_metadata_checksum():
            return None
        _, metadata = self.repo.load_variant(OSTree.ObjectType.DIR_META, there.get_metadata_checksum())
        return _label_in(metadata.get_child_value(3))


def _is_opaque(directory: Path) -> bool:
    return _OPAQUE in os.listxattr(directory) and os.getxattr(directory, _OPAQUE) == b"y"


def _attributes(path: Path, label: bytes | None) -> GLib.Variant:
    """Its extended attributes, the overlay's own left out; a label is that of what was there, not the host's."""
    names = os.listxattr(path, follow_symlinks=False)
    found = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if not name.startswith(_OVERLAY) and name != LABEL.decode()
    }
    if label is not None:
        found[LABEL.decode()] = label
    return attributes_of((os.fsencode(name) + b"\0", value) for name, value in found.items())


def _label_in(attributes: GLib.Variant) -> bytes | None:
    return next((value for name, value in pairs_in(attributes) if name.rstrip(b"\0") == LABEL), None)
