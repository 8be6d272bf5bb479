"""What a deployed commit says of the layer that it is, whoever made it."""

from __future__ import annotations

import gi
import msgspec

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from journal.values import Package  # noqa: E402
from layering.commit_tree import text_in  # noqa: E402


class FoundLayer(msgspec.Struct, frozen=True):
    """A layered commit as found. packages: None where it does not name them by checksum, as rpm-ostree's do not."""

    base_commit: str
    packages: tuple[Package, ...] | None = None
    layer_key: str | None = None


class _Inputs(msgspec.Struct):
    packages: list[tuple[str, str]]


def read_layer(repo: OSTree.Repo, commit: str) -> FoundLayer | None:
    """The layer that this commit is, None for a bare base."""
    _, variant, _ = repo.load_commit(commit)
    metadata = variant.get_child_value(0)
    parent = OSTree.commit_get_parent(variant)
    key, inputs = text_in(metadata, "layer.key"), text_in(metadata, "layer.inputs")
    if parent and key and inputs:
        recorded = msgspec.json.decode(inputs, type=_Inputs)
        packages = tuple(sorted(Package(nevra, sha256) for nevra, sha256 in recorded.packages))
        return FoundLayer(parent, packages, key)
    client = metadata.lookup_value("rpmostree.clientlayer", GLib.VariantType("b"))
    return FoundLayer(parent) if parent and client and client.get_boolean() else None
