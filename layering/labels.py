"""SELinux labels: what a policy says of a path, and how a label is kept in an object's extended attributes."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.policy import Policy, PolicyBroken  # noqa: E402

LABEL = b"security.selinux"


class Labels:
    """The labels of a policy, or none at all where there is no policy.

    Nothing is loaded before the first question, and then once: the tree's policy, never that of the running host.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy

    @property
    def checksum(self) -> str:
        """Of the policy, empty where there is none."""
        return self.policy.checksum if self.policy else ""

    def label(self, path: str, mode: int) -> str | None:
        """The label of a path of the image (relative to its root), None where the policy gives it none.

        Args:
            mode: with the bits of the file's type: a pattern may hold for directories alone.

        Raises:
            PolicyBroken: libselinux can't read the policy.
        """
        if self.policy is None:
            return None
        try:
            _, label = self._loaded.get_label(path_in_policy(path), mode, None)
        except GLib.Error as error:
            raise _broken(self.policy, error) from error
        return None if label is None else str(label)

    @cached_property
    def _loaded(self) -> OSTree.SePolicy:
        assert self.policy is not None  # noqa: S101 - the caller has looked
        with tempfile.TemporaryDirectory(prefix="layer-policy-") as directory:
            root = Path(directory, "etc/selinux")
            for path, content in self.policy.files.items():
                target = root / self.policy.type / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            (root / "config").write_text(f"SELINUX=enforcing\nSELINUXTYPE={self.policy.type}\n")
            try:
                return OSTree.SePolicy.new(Gio.File.new_for_path(directory), None)
            except GLib.Error as error:
                raise _broken(self.policy, error) from error


UNLABELLED = Labels()
"""For trees without a policy."""


def path_in_policy(path: str) -> str:
    """A path of the image as policies name it: an image's /usr/etc is its host's /etc. Pure."""
    return f"/{path.removeprefix('usr/')}" if f"{path}/".startswith("usr/etc/") else f"/{path}"


def label_in(attributes: GLib.Variant) -> str | None:
    """The label among an object's extended attributes."""
    found = (bytes(value) for name, value in attributes.unpack() if bytes(name).rstrip(b"\0") == LABEL)
    return next((value.rstrip(b"\0").decode() for value in found), None)


def with_label(attributes: GLib.Variant | None, label: str | None) -> GLib.Variant:
    """The extended attributes, their label exchanged for this one. In the order of their names, as OSTree has them."""
    pairs = [(bytes(name), bytes(value)) for name, value in attributes.unpack()] if attributes is not None else []
    pairs = [pair for pair in pairs if pair[0].rstrip(b"\0") != LABEL]
    if label is not None:
        pairs.append((LABEL + b"\0", label.encode() + b"\0"))
    return GLib.Variant("a(ayay)", sorted(pairs))


def relabelled(repo: OSTree.Repo, checksum: str, label: str | None) -> str:
    """The file with this label: the checksum of the same object, or of one that is written, content and all.

    A label is part of an object, in a bare repository of its inode too: there is no sharing the content.
    """
    _, content, info, attributes = repo.load_file(checksum)
    if label == label_in(attributes):
        return checksum
    attributes = with_label(attributes, label)
    if info.get_file_type() == Gio.FileType.SYMBOLIC_LINK:
        uid, gid = (info.get_attribute_uint32(f"unix::{key}") for key in ("uid", "gid"))
        return str(repo.write_symlink(None, uid, gid, attributes, info.get_symlink_target()))
    _, stream, length = OSTree.raw_file_to_content_stream(content, info, attributes)
    _, written = repo.write_content(None, stream, length)
    return bytes(written).hex()


def relabelled_for(repo: OSTree.Repo, checksum: str, labels: Labels, path: str) -> str:
    """The file with the label of `path`, see `relabelled`."""
    _, _, info, _ = repo.load_file(checksum)
    return relabelled(repo, checksum, labels.label(path, info.get_attribute_uint32("unix::mode")))


def _broken(policy: Policy, error: GLib.Error) -> PolicyBroken:
    return PolicyBroken(f"The SELinux policy {policy.type!r} of {policy.tree} can't be used: {error.message}")
