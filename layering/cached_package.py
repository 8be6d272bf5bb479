"""One package in the package cache: a commit of its tree, and in the commit's metadata what the tree can't say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

import gi
import msgspec
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from journal.values import Package  # noqa: E402
from layering.commit_tree import text_in  # noqa: E402
from layering.labels import Labels, byte_string  # noqa: E402
from layering.payload import Attributes  # noqa: E402
from layering.rpmfile import RpmFile, header_of  # noqa: E402

REF_PREFIX = "layer/pkg"

_PLAIN = re.compile(rb"[A-Za-z0-9.-]")
_KEYS = ("nevra", "sha256", "repository", "signed-by")


@dataclass(frozen=True)
class CachedPackage:
    """A package in the cache.

    package: what it is and where it came from. commit: of its tree, in `repo`. attributes: what the tree can't say.
    """

    package: Package
    commit: str
    repo: OSTree.Repo = field(repr=False, compare=False)

    @property
    def nevra(self) -> str:
        """NAME-[EPOCH:]VERSION-RELEASE.ARCH."""
        return self.package.nevra

    @property
    def ref(self) -> str:
        """Its branch in the cache."""
        return ref_of(self.package)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of its tree."""
        return self.attributes.notes

    @cached_property
    def attributes(self) -> Attributes:
        """What the tree can't say."""
        text = self._metadata.lookup_value("layer.attributes", None).get_string()
        return msgspec.json.decode(text, type=Attributes)

    @cached_property
    def prefix(self) -> bytes:
        """The RPM up to its payload: lead, signature header, header."""
        return bytes(self._metadata.lookup_value("layer.prefix", None).get_data_as_bytes().get_data())

    @cached_property
    def header(self) -> rpm.hdr:
        """The RPM's main header."""
        return header_of(self.prefix)

    @property
    def build_time(self) -> int:
        """Seconds since the epoch."""
        _, commit = self.repo.load_variant(OSTree.ObjectType.COMMIT, self.commit)
        return int(OSTree.commit_get_timestamp(commit))

    @property
    def policy(self) -> str:
        """Checksum of the SELinux policy that its files are labelled with, empty where they have no labels."""
        return str(self._metadata.lookup_value("layer.policy", None).get_string())

    @cached_property
    def _metadata(self) -> GLib.Variant:
        _, commit = self.repo.load_variant(OSTree.ObjectType.COMMIT, self.commit)
        return commit.get_child_value(0)


def load_package(repo: OSTree.Repo, ref: str, wanted: Package | None) -> CachedPackage | None:
    """The package that a ref of the cache leads to, None where its commit is not there, not whole, or another's.

    wanted: which one it is to be; what it says of repository and signature goes before what is recorded.
    """
    try:
        _, commit = repo.resolve_rev(ref, True)
        if commit is None:
            return None
        repo.fsck_object(OSTree.ObjectType.COMMIT, commit)
        _, variant, state = repo.load_commit(commit)
    except GLib.Error:
        return None
    metadata = _texts(variant.get_child_value(0))
    if state != OSTree.RepoCommitState.NORMAL or metadata is None:
        return None
    if wanted is not None and metadata["nevra"] != wanted.nevra:
        return None
    package = Package(
        nevra=metadata["nevra"],
        sha256=metadata["sha256"],
        repository=(wanted and wanted.repository) or metadata["repository"] or None,
        signed_by=(wanted and wanted.signed_by) or metadata["signed-by"] or None,
    )
    return CachedPackage(package, commit, repo)


def commit_metadata(read: RpmFile, package: Package, attributes: Attributes, labels: Labels) -> GLib.Variant:
    """The metadata of a package's commit. package: its checksum known, and where it came from."""
    metadata = {
        "layer.nevra": GLib.Variant("s", read.nevra),
        "layer.sha256": GLib.Variant("s", read.sha256),
        "layer.repository": GLib.Variant("s", package.repository or ""),
        "layer.signed-by": GLib.Variant("s", package.signed_by or ""),
        "layer.policy": GLib.Variant("s", labels.checksum),
        "layer.attributes": GLib.Variant("s", msgspec.json.encode(attributes).decode()),
        "layer.prefix": byte_string(read.prefix),
    }
    return GLib.Variant("a{sv}", metadata)


def ref_of(package: Package) -> str:
    """The branch of a package in the cache. Its checksum has to be known."""
    return f"{REF_PREFIX}/{branch_of(package.nevra)}/{package.sha256}"


def branch_of(nevra: str) -> str:
    """rpm-ostree's name for a package's branch, NAME/EVR.ARCH: other characters are _HH, and _ is __."""
    name, version, release = nevra.rsplit("-", 2)
    return f"{_escape(name)}/{_escape(f'{version}-{release}')}"


def _texts(metadata: GLib.Variant) -> dict[str, str] | None:
    found = {key: text for key in _KEYS if (text := text_in(metadata, f"layer.{key}")) is not None}
    return found if len(found) == len(_KEYS) else None


def _escape(text: str) -> str:
    def one(byte: bytes) -> str:
        if byte == b"_":
            return "__"
        return byte.decode() if _PLAIN.match(byte) else f"_{byte[0]:02X}"

    return "".join(one(bytes([byte])) for byte in text.encode())
