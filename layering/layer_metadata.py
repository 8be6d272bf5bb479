"""The metadata of a layered commit: what other tools for OSTree hosts look for, and what we do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.cached_package import CachedPackage  # noqa: E402
from layering.rpmdb import PackageTuple, package_tuple  # noqa: E402
from projections.packages import name_arch  # noqa: E402

_CLIENT_LAYER_VERSION = 6  # of rpm-ostree's metadata, all of whose keys are below
_OF_THE_BASE = ("ostree.bootable", "ostree.linux", "version")
_PACKAGE_LIST = "rpmostree.rpmdb.pkglist"
_TUPLES = GLib.VariantType("a(sssss)")


def layer_metadata(
    repo: OSTree.Repo,
    base: str,
    canonical: str,
    *,
    key: str,
    packages: Sequence[CachedPackage],
    notes: Sequence[str],
    installed: Callable[[], list[PackageTuple]],
    policy: str,
) -> GLib.Variant:
    """Ours under `layer.`, and all that rpm-ostree's and bootc's tools read from a client-side layer.

    Args:
        base: commit of the base. canonical: the layer's inputs, and key: their hash.
        packages: that are layered. installed: reads all that is, asked where the base's commit does not list its own.
        policy: checksum of the SELinux policy that its files are labelled with, empty for none.
    """
    _, variant, _ = repo.load_commit(base)
    of_base = variant.get_child_value(0)
    names = sorted({name_arch(package.nevra)[0] for package in packages})
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
        _PACKAGE_LIST: _everything(of_base, packages, installed),
        "rpmostree.state-sha512": GLib.Variant("s", hashlib.sha512(canonical.encode()).hexdigest()),
    }
    if policy:
        values["layer.policy"] = GLib.Variant("s", policy)
    for name in _OF_THE_BASE:
        if (value := of_base.lookup_value(name, None)) is not None:
            values[name] = value
    return GLib.Variant("a{sv}", dict(sorted(values.items())))


def _everything(
    of_base: GLib.Variant, packages: Iterable[CachedPackage], installed: Callable[[], list[PackageTuple]]
) -> GLib.Variant:
    # Images made by rpm-ostree list their packages: reading all headers of their rpmdb would cost more than the layer.
    listed = of_base.lookup_value(_PACKAGE_LIST, _TUPLES)
    if listed is None:
        return _package_tuples(installed())
    layered = _package_tuples(sorted(package_tuple(package.header) for package in packages))
    tuples = [each.get_child_value(index) for each in (listed, layered) for index in range(each.n_children())]
    tuples.sort(key=lambda each: each.get_child_value(0).get_string())
    return GLib.Variant.new_array(_TUPLES.element(), tuples)


def _package_tuples(packages: Iterable[PackageTuple]) -> GLib.Variant:
    # As text: PyGObject's own conversion looks at the type of each string anew, which for an image's packages adds up.
    tuples = (f"({json.dumps(package, ensure_ascii=False)[1:-1]})" for package in packages)
    return GLib.Variant.parse(_TUPLES, f"[{','.join(tuples)}]", None, None)
