"""The metadata of a layered commit: what other tools for OSTree hosts look for, and what we do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.cached_package import CachedPackage  # noqa: E402

_CLIENT_LAYER_VERSION = 6  # of rpm-ostree's metadata, all of whose keys are below
_OF_THE_BASE = ("ostree.bootable", "ostree.linux", "version")


def layer_metadata(
    repo: OSTree.Repo,
    base: str,
    canonical: str,
    *,
    key: str,
    packages: Iterable[CachedPackage],
    notes: Sequence[str],
    everything: list[tuple[str, str, str, str, str]],
    policy: str,
) -> GLib.Variant:
    """Ours under `layer.`, and all that rpm-ostree's and bootc's tools read from a client-side layer.

    Args:
        base: commit of the base. canonical: the layer's inputs, and key: their hash.
        packages: that are layered. everything: name, epoch, version, release, architecture of all that is installed.
        policy: checksum of the SELinux policy that its files are labelled with, empty for none.
    """
    names = sorted({package.nevra.rsplit("-", 2)[0] for package in packages})
    values = {
        "layer.base": GLib.Variant("s", base),
        "layer.inputs": GLib.Variant("s", canonical),
        "layer.key": GLib.Variant("s", key),
        "layer.notes": GLib.Variant("as", list(notes)),
        "rpmostree.clientlayer": GLib.Variant("b", True),
        "rpmostree.clientlayer_version": GLib.Variant("u", _CLIENT_LAYER_VERSION),
        "rpmostree.modules": GLib.Variant("as", []),
        "rpmostree.packages": GLib.Variant("as", names),
        "rpmostree.removed-base-packages": GLib.Variant("av", []),
        "rpmostree.replaced-base-packages": GLib.Variant("a(vv)", []),
        "rpmostree.replaced-base-remote-packages": GLib.Variant("a{sv}", {}),
        "rpmostree.rpmdb.pkglist": _package_tuples(everything),
        "rpmostree.state-sha512": GLib.Variant("s", hashlib.sha512(canonical.encode()).hexdigest()),
    }
    _, variant, _ = repo.load_commit(base)
    if policy:
        values["layer.policy"] = GLib.Variant("s", policy)
    for name in _OF_THE_BASE:
        if (value := variant.get_child_value(0).lookup_value(name, None)) is not None:
            values[name] = value
    return GLib.Variant("a{sv}", dict(sorted(values.items())))


def _package_tuples(packages: Iterable[Iterable[str]]) -> GLib.Variant:
    # By hand: PyGObject's own conversion looks at the type of each string anew, which for an image's packages adds up.
    string = GLib.Variant.new_string
    tuples = [GLib.Variant.new_tuple(*map(string, package)) for package in packages]
    return GLib.Variant.new_array(GLib.VariantType("(sssss)"), tuples)
