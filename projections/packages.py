"""Packages by their NEVRAs, and how two sets of them differ. Pure: which of two is newer is for rpm to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from journal.values import Package, PackageChange, Request


class PackageChanges(msgspec.Struct, frozen=True):
    """The difference between two sets of packages."""

    added: tuple[Package, ...] = ()
    removed: tuple[Package, ...] = ()
    upgraded: tuple[PackageChange, ...] = ()
    downgraded: tuple[PackageChange, ...] = ()


def name_arch(nevra: str) -> tuple[str, str]:
    """Name and architecture."""
    rest, _, architecture = nevra.rpartition(".")
    return rest.rsplit("-", 2)[0], architecture


def evr(nevra: str) -> tuple[str, str, str]:
    """Epoch (0 where none is written), version and release."""
    _, version, release = nevra.rpartition(".")[0].rsplit("-", 2)
    epoch, _, version = version.rpartition(":")
    return epoch or "0", version, release


def is_named(package: Package, requests: Iterable[Request]) -> bool:
    """Whether one of the requests is for this very package: by its name or NEVRA, or as a local RPM."""
    name, arch = name_arch(package.nevra)
    names = {package.nevra, name, f"{name}.{arch}"}
    return any(each.spec in names and each.sha256 in (None, package.sha256) for each in requests)


def package_changes(
    old: Iterable[Package], new: Iterable[Package], compare: Callable[[str, str], int]
) -> PackageChanges:
    """What becomes of a set of packages. compare: of two NEVRAs of one name, as rpm orders them.

    A package that was made anew under the same NEVRA counts as upgraded.
    """
    gone, come = set(old) - set(new), set(new) - set(old)
    before, after = _by_name(gone), _by_name(come)
    pairs = ((found, after.get(which, [])) for which, found in before.items())
    replaced = sorted(PackageChange(one[0], two[0]) for one, two in pairs if len(one) == len(two) == 1)
    downgraded = tuple(each for each in replaced if compare(each.old.nevra, each.new.nevra) > 0)
    return PackageChanges(
        added=tuple(sorted(come - {each.new for each in replaced})),
        removed=tuple(sorted(gone - {each.old for each in replaced})),
        upgraded=tuple(each for each in replaced if each not in downgraded),
        downgraded=downgraded,
    )


def _by_name(packages: Iterable[Package]) -> dict[tuple[str, str], list[Package]]:
    found: dict[tuple[str, str], list[Package]] = {}
    for package in packages:
        found.setdefault(name_arch(package.nevra), []).append(package)
    return found
