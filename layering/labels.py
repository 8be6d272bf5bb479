"""SELinux labels: what a policy says of a path, and how a label is kept in an object's extended attributes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.file_contexts import CONTEXTS, FileContexts  # noqa: E402
from layering.inodes import owner_and_mode, write_file  # noqa: E402
from layering.policy import Policy, PolicyBroken  # noqa: E402

LABEL = b"security.selinux"

_OFTEN = 30
"""How often a directory has to be asked about before the policy is narrowed to it: that costs as much, about."""
_DEPTH = 4
"""Of these directories, the root included: /usr/share/NAME."""


class Labels:
    """The labels of a policy, or none at all where there is no policy.

    Nothing is loaded before the first question, and then once: the tree's policy, never that of the running host.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy
        self._asked: Counter[str] = Counter()
        self._narrowed: dict[str, OSTree.SePolicy] = {}

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
        named = path_in_policy(path)
        try:
            _, label = self._for(named, self.policy).get_label(named, mode, None)
        except GLib.Error as error:
            raise _broken(self.policy, error) from error
        return None if label is None else str(label)

    def _for(self, named: str, policy: Policy) -> OSTree.SePolicy:
        """The policy, or what of it can be about the directory, where libselinux has been asked often about that."""
        directory = "/".join(named.split("/")[:-1][:_DEPTH]) + "/"
        if directory in self._narrowed:
            return self._narrowed[directory]
        self._asked[directory] += 1
        if self._asked[directory] <= _OFTEN or directory == "/":
            return self._loaded
        # The binary policy has no say in labels; libostree wants it to be there.
        narrowed = self._contexts.narrowed(directory)
        loaded = _load(policy.type, {**narrowed, "policy/policy.1": b""}) if narrowed[CONTEXTS[0]] else self._loaded
        self._narrowed[directory] = loaded
        return loaded

    @cached_property
    def _contexts(self) -> FileContexts:
        assert self.policy is not None  # noqa: S101 - the caller has looked
        return FileContexts(self.policy.files)

    @cached_property
    def _loaded(self) -> OSTree.SePolicy:
        assert self.policy is not None  # noqa: S101 - the caller has looked
        return _load(self.policy.type, self.policy.files)


UNLABELLED = Labels()
"""For trees without a policy."""


def path_in_policy(path: str) -> str:
    """A path of the image as policies name it: an image's /usr/etc is its host's /etc. Pure."""
    return f"/{path.removeprefix('usr/')}" if f"{path}/".startswith("usr/etc/") else f"/{path}"


def attributes_of(pairs: Iterable[tuple[bytes, bytes]]) -> GLib.Variant:
    """Extended attributes as an OSTree object has them. pairs: names, which end with a zero byte, and values."""
    # By hand: PyGObject makes a value of its own of each byte, which costs more than looking up a label.
    tuples = [GLib.Variant.new_tuple(byte_string(name), byte_string(value)) for name, value in sorted(pairs)]
    return GLib.Variant.new_array(GLib.VariantType("(ayay)"), tuples)


def label_in(attributes: GLib.Variant) -> str | None:
    """The label among an object's extended attributes."""
    found = (value for name, value in pairs_in(attributes) if name.rstrip(b"\0") == LABEL)
    return next((value.rstrip(b"\0").decode() for value in found), None)


def with_label(attributes: GLib.Variant | None, label: str | None) -> GLib.Variant:
    """The extended attributes, their label exchanged for this one."""
    if attributes is None:
        return _label_alone(label)
    pairs = [pair for pair in pairs_in(attributes) if pair[0].rstrip(b"\0") != LABEL]
    return attributes_of(pairs + _label_pair(label))


@cache
def _label_alone(label: str | None) -> GLib.Variant:
    return attributes_of(_label_pair(label))


def _label_pair(label: str | None) -> list[tuple[bytes, bytes]]:
    return [] if label is None else [(LABEL + b"\0", label.encode() + b"\0")]


def pairs_in(attributes: GLib.Variant) -> list[tuple[bytes, bytes]]:
    """An object's extended attributes: names, which end with a zero byte, and values."""
    each = (attributes.get_child_value(index) for index in range(attributes.n_children()))
    return [(_data(pair.get_child_value(0)), _data(pair.get_child_value(1))) for pair in each]


def _data(value: GLib.Variant) -> bytes:
    return bytes(value.get_data_as_bytes().get_data() or b"")


def byte_string(data: bytes) -> GLib.Variant:
    """The bytes as a value of type `ay`."""
    return GLib.Variant.new_from_bytes(GLib.VariantType("ay"), GLib.Bytes.new(data), True)


def relabelled(repo: OSTree.Repo, checksum: str, label: str | None) -> str:
    """The file with this label: the checksum of the same object, or of one that is written, content and all.

    A label is part of an object, in a bare repository of its inode too: there is no sharing the content.
    """
    _, content, info, attributes = repo.load_file(checksum)
    if label == label_in(attributes):
        return checksum
    return write_file(repo, content, info, with_label(attributes, label))


def relabelled_for(repo: OSTree.Repo, checksum: str, labels: Labels, path: str) -> str:
    """The file with the label of `path`, see `relabelled`."""
    _, _, info, _ = repo.load_file(checksum)
    _, _, mode = owner_and_mode(info)
    return relabelled(repo, checksum, labels.label(path, mode))


def _load(name: str, files: Mapping[str, bytes]) -> OSTree.SePolicy:
    """A policy as libostree loads it. files: by their path below /etc/selinux/NAME."""
    with tempfile.TemporaryDirectory(prefix="layer-policy-") as directory:
        root = Path(directory, "etc/selinux")
        for path, content in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (root / "config").write_text(f"SELINUX=enforcing\nSELINUXTYPE={name}\n")
        return OSTree.SePolicy.new(Gio.File.new_for_path(directory), None)


def _broken(policy: Policy, error: GLib.Error) -> PolicyBroken:
    return PolicyBroken(f"The SELinux policy {policy.type!r} of {policy.tree} can't be used: {error.message}")
