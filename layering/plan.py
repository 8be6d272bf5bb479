"""Planning: from the state and what is asked for to what is to change. Pure: nothing here reads or writes a host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from journal.events import BaseChanged, LayerCommitted, Payload, RequestsChanged
from journal.values import Package, Request
from layering.errors import AlreadyRequested, NotRequested
from projections import origin
from projections.host import HostState, evolve
from projections.packages import PackageChanges, is_named, name_arch

Policy = Literal["keep", "offline", "prefer", "upgrade"]
"""How packages are chosen. keep: all that is layered stays, new ones come from the repositories. offline: only from
what is layered. prefer: at the layered version where there is one. upgrade: the newest of everything."""


class Goal(msgspec.Struct, frozen=True):
    """Where a verb wants the host to be, before dependencies are known.

    wanted: all requests, whether active or absorbed. policy: how to choose the packages that meet them.
    kept: the packages that count as layered already; None for all that are.
    """

    refspec: str
    base_commit: str
    version: str | None
    pinned_base: bool
    wanted: tuple[Request, ...]
    policy: Policy
    kept: tuple[Package, ...] | None = None


def grow(state: HostState, requests: Sequence[Request], *, idempotent: bool) -> tuple[Request, ...]:
    """The requests that are new.

    Raises:
        AlreadyRequested: some are not, and `idempotent` does not allow for that.
    """
    present = set(state.wanted)
    known = [request for request in requests if request in present]
    if known and not idempotent:
        raise AlreadyRequested(
            "\n".join(
                f"Package '{request.spec}' is already layered"
                if request.sha256
                else f"Package/capability '{request.spec}' is already requested"
                for request in known
            )
        )
    return tuple(dict.fromkeys(request for request in requests if request not in present))


def shrink(state: HostState, specs: Sequence[str], *, everything: bool, idempotent: bool) -> tuple[Request, ...]:
    """The requests that these words take back: a request as it was made; a local RPM also by its package's name.

    Raises:
        NotRequested: some name no request, and `idempotent` does not allow for that.
    """
    present = state.wanted
    if everything:
        return present
    found: set[Request] = set()
    unknown: list[str] = []
    for spec in specs:
        matching = [
            request
            for request in present
            if request.spec == spec or (request.sha256 and name_arch(request.spec)[0] == spec)
        ]
        found |= set(matching)
        if not matching:
            unknown.append(spec)
    if unknown and not idempotent:
        raise NotRequested("\n".join(f"Package/capability '{spec}' is not currently requested" for spec in unknown))
    return tuple(sorted(found))


def refuse_second_local(state: HostState, requests: Iterable[Request], gone: Sequence[Request]) -> None:
    """Refuse a local RPM beside another package of its name and architecture, unless that is one that goes.

    Raises:
        AlreadyRequested: there is one; it is named.
    """
    for request in requests:
        for package in state.packages:
            same_file = (package.nevra, package.sha256) == (request.spec, request.sha256)
            same_name = name_arch(package.nevra) == name_arch(request.spec) if request.sha256 else False
            if same_name and not same_file and not is_named(package, gone):
                raise AlreadyRequested(
                    f"Package '{package.nevra}' is already layered",
                    hint=f"--uninstall {name_arch(package.nevra)[0]} puts {request.spec} in its place.",
                )


def local_in_base(state: HostState, request: Request, compare: Callable[[str, str], int]) -> str | None:
    """NEVRA of the base's package that makes a local RPM idle: of its name and architecture, and as new."""
    if not request.sha256:
        return None
    same = (each for each in state.base_packages if name_arch(each) == name_arch(request.spec))
    return next((each for each in same if compare(each, request.spec) >= 0), None)


def request_changes(
    state: HostState, all_wanted: Iterable[Request], provided: Collection[str]
) -> RequestsChanged | None:
    """How the requested set changes when these are wanted and the base provides those specs; None if it does not."""
    now = set(all_wanted)
    before = {*state.requested, *state.absorbed}
    inactive = {request for request in now if request.spec in provided}
    change = RequestsChanged(
        added=tuple(sorted(now - before)),
        removed=tuple(sorted(before - now)),
        absorbed=tuple(sorted(inactive - set(state.absorbed))),
        reinstated=tuple(sorted((set(state.absorbed) & now) - inactive)),
    )
    return change if change != RequestsChanged() else None


def as_recorded(packages: Iterable[Package], recorded: Iterable[Package]) -> tuple[Package, ...]:
    """The packages, those that are layered already as the journal has them: the same file is the same package."""
    known = {(each.nevra, each.sha256): each for each in recorded}
    return tuple(sorted(known.get((each.nevra, each.sha256), each) for each in packages))


def changes(
    state: HostState,
    target: HostState,
    packages: PackageChanges,
    *,
    layer: Mapping[str, object] | None = None,
) -> tuple[Payload, ...]:
    """The events that lead from one state to another.

    layer: what else `LayerCommitted` records of how the layered commit came about.
    """
    events: list[Payload] = []
    provided = {request.spec for request in target.absorbed}
    if requests := request_changes(state, target.wanted, provided):
        events.append(requests)
    base = (target.refspec, target.base_commit, target.version, target.pinned_base)
    if base != (state.refspec, state.base_commit, state.version, state.pinned_base):
        before, now = set(state.base_packages), set(target.base_packages)
        events.append(
            BaseChanged(
                refspec=target.refspec or "",
                commit=target.base_commit or "",
                version=target.version,
                pinned_base=target.pinned_base,
                packages_added=tuple(sorted(now - before)),
                packages_removed=tuple(sorted(before - now)),
            )
        )
    if target.commit != state.commit or packages != PackageChanges():
        events.append(
            LayerCommitted(
                commit=target.commit or "",
                base_commit=target.base_commit or "",
                layer_key=target.layer_key,
                added=packages.added,
                removed=packages.removed,
                upgraded=packages.upgraded,
                downgraded=packages.downgraded,
                required_by=target.required_by,
                content=target.content,
                **(layer or {}),  # type: ignore[arg-type]
            )
        )
    return tuple(events)


def after(state: HostState, events: Iterable[Payload]) -> HostState:
    """The state once these have taken effect."""
    for event in events:
        state = evolve(state, event)
    return state


def needs_deployment(state: HostState, target: HostState) -> bool:
    """Whether what is deployed would differ: another commit, or another origin but for the transaction's id."""
    return state.commit != target.commit or origin.render(state, "") != origin.render(target, "")
