"""How two states of a host differ: what `layer diff` prints."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from journal.values import Package, PackageChange
from projections.host import HostState, names
from projections.packages import package_changes

Pair = tuple[str, str]


class Requested(msgspec.Struct, frozen=True):
    """What is requested in the second state alone, and in the first alone: sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Packages(msgspec.Struct, frozen=True):
    """By which packages the states, base and layer together, differ: NEVRAs, and pairs of the old and the new one."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    upgraded: tuple[Pair, ...] = ()
    downgraded: tuple[Pair, ...] = ()


class Difference(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """How the second of two states differs from the first. The keys of `layer diff --json`.

    from, to: the transaction that left the state, or the deployment that no transaction is known to have made.
    refspec, base_commit: of both.
    """

    from_: int | str
    to: int | str
    refspec: tuple[str | None, str | None]
    base_commit: tuple[str | None, str | None]
    requested: Requested
    packages: Packages


def difference(
    from_: int | str, old: HostState, to: int | str, new: HostState, compare: Callable[[str, str], int]
) -> Difference:
    """How these two states differ. compare: of two NEVRAs of one name, as rpm orders them.

    A package that went from the base to the layer, or the other way, is the same one. One that was made anew under the
    same NEVRA counts as upgraded where both checksums are known.
    """
    before, after = set(names(old.requested)), set(names(new.requested))
    ours, theirs = _inventory(old, new), _inventory(new, old)
    found = package_changes(ours, theirs, compare)
    return Difference(
        from_=from_,
        to=to,
        refspec=(old.refspec, new.refspec),
        base_commit=(old.base_commit, new.base_commit),
        requested=Requested(tuple(sorted(after - before)), tuple(sorted(before - after))),
        packages=Packages(
            added=tuple(sorted(each.nevra for each in found.added)),
            removed=tuple(sorted(each.nevra for each in found.removed)),
            upgraded=_pairs(found.upgraded),
            downgraded=_pairs(found.downgraded),
        ),
    )


def _inventory(state: HostState, other: HostState) -> set[Package]:
    """All packages of a state. Their checksums count only where both states know one: the base's are in no journal."""
    known = {each.nevra for each in other.packages if each.sha256}
    layered = {Package(each.nevra, each.sha256 if each.nevra in known else None) for each in state.packages}
    return {*layered, *(Package(nevra) for nevra in state.base_packages)}


def _pairs(changes: tuple[PackageChange, ...]) -> tuple[Pair, ...]:
    return tuple(sorted((each.old.nevra, each.new.nevra) for each in changes))
