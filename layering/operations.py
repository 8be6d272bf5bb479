"""The verbs: where each wants the host to be. One function a verb; `Host.transact` carries out what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from journal.events import Package, Request
from layering import base, plan
from layering.decision import Decision, resolve
from layering.errors import PackagesNotFound, ProvidedByBase, Refused, ResolveError
from layering.host import Decide
from layering.layers import restore
from layering.nevra import compare
from layering.plan import Goal, Policy
from layering.work import Work
from projections import points
from projections.errors import NoSuchPoint
from projections.host import HostState
from projections.packages import is_named

_GENTLY: tuple[Policy, ...] = ("offline", "prefer", "upgrade")
"""Another base alone moves no versions, unless it demands it: try what is layered, then add to it, then the newest."""


class NoRollback(Refused):
    """There is no deployment to go back to."""

    id = "no-rollback"


def pkg_add(specs: Sequence[str], *, idempotent: bool, allow_inactive: bool, uninstall: Sequence[str] = ()) -> Decide:
    """Ask for more packages, on the present base; with `uninstall`, in the place of others."""

    def decide(work: Work) -> Decision:
        gone = plan.shrink(work.state, uninstall, everything=False, idempotent=idempotent)
        return _exchange(work, gone, specs, idempotent=idempotent, allow_inactive=allow_inactive)

    return decide


def pkg_delete(
    specs: Sequence[str],
    *,
    everything: bool,
    idempotent: bool,
    allow_inactive: bool = False,
    install: Sequence[str] = (),
) -> Decide:
    """Take requests back, on the present base; needs no network, but for what `install` asks for in their place."""

    def decide(work: Work) -> Decision:
        gone = plan.shrink(work.state, specs, everything=everything, idempotent=idempotent)
        return _exchange(work, gone, install, idempotent=idempotent, allow_inactive=allow_inactive)

    return decide


def _exchange(
    work: Work, gone: Sequence[Request], specs: Sequence[str], *, idempotent: bool, allow_inactive: bool
) -> Decision:
    """Some requests for others, in one step."""
    state = work.state
    left = msgspec.structs.replace(
        state,
        requested=tuple(each for each in state.requested if each not in gone),
        absorbed=tuple(each for each in state.absorbed if each not in gone),
    )
    requests = plan.grow(left, [_request(work, spec) for spec in specs], idempotent=idempotent)
    plan.refuse_second_local(state, requests, gone)
    if not allow_inactive:
        _refuse_provided(work, requests)
    if requests and gone:
        return _swap(work, left, gone, (*plan.wanted(left), *requests))
    if requests:
        return resolve(work, _same_base(state, (*plan.wanted(state), *requests), "keep"))
    if not set(gone) & set(state.requested):
        return Decision(left)  # what is laid on the base does not change: no need to resolve anything
    return resolve(work, _same_base(state, plan.wanted(left), "offline"))


def _swap(work: Work, left: HostState, gone: Sequence[Request], wanted: Sequence[Request]) -> Decision:
    """What the remaining requests have layered stays; what was layered for those that are gone does not count.

    Where the remaining requests need what is to go, because the new one is to serve them in its place, only what the
    requests themselves name goes.
    """
    state = work.state
    named = tuple(each for each in state.packages if not is_named(each, gone))
    try:
        kept = resolve(work, _same_base(state, plan.wanted(left), "offline")).target.packages
        return resolve(work, _same_base(state, wanted, "keep", kept))
    except ResolveError:
        return resolve(work, _same_base(state, wanted, "keep", named))


def _refuse_provided(work: Work, requests: Sequence[Request]) -> None:
    state = work.state
    reasons = [
        f"Package '{nevra}' is already in the base"
        for each in requests
        if (nevra := plan.local_in_base(state, each, compare))
    ]
    specs = [each.spec for each in requests if not each.sha256]
    provided = work.resolver(work.repo, state.base_commit or "").provided_by_base(specs) if specs else {}
    reasons += [
        f'"{spec}" is already provided by: {nevra}. Use --allow-inactive to explicitly require it.'
        for spec, nevra in provided.items()
    ]
    if reasons:
        raise ProvidedByBase("\n".join(reasons))


def upgrade() -> Decide:
    """The newest base of the refspec, and the newest of everything requested laid on it."""

    def decide(work: Work) -> Decision:
        return _move(work, work.state.refspec or "", None, ("upgrade",), message="No upgrade available.")

    return decide


def rebase(refspec: str, revision: str | None) -> Decide:
    """Follow another refspec; with a revision, pin the base to it."""

    def decide(work: Work) -> Decision:
        state = work.state
        target = base.complete(work.repo, refspec, state.refspec)
        if target == state.refspec and revision is None:
            raise base.RefspecEqual(f"Old and new refs are equal: {target}")
        return _move(work, target, revision, _GENTLY)

    return decide


def deploy(revision: str) -> Decide:
    """Pin the base to a version or checksum of the refspec, until the next upgrade."""

    def decide(work: Work) -> Decision:
        return _move(work, work.state.refspec or "", revision, _GENTLY)

    return decide


def rollback(point: str | None, now: datetime, last: int | None) -> Decide:
    """The state after a transaction or at an instant; without either, that of the previous deployment.

    last: the newest transaction when the verb was called: the rollback itself is one, too.
    """

    def decide(work: Work) -> Decision:
        if point is None:
            return _previous(work)
        if work.journal is None:
            raise NoSuchPoint("Nothing was recorded on this host yet")
        target = points.at(work.journal, points.position_of(work.journal, point, now, last)).host
        if target is None:
            raise NoSuchPoint(f"The history has no state yet at {point}")
        on_disk = next((each for each in work.sysroot.deployments if each.id == target.deployment), None)
        decision = restore(work, target, "No change.")
        return replace(decision, etc_from=on_disk.id if on_disk else None)

    return decide


def _previous(work: Work) -> Decision:
    deployments = work.sysroot.deployments
    if len(deployments) < 2:  # noqa: PLR2004 - the head, and one before it
        raise NoRollback("No rollback deployment found")
    from layering.sync import describe

    observed = describe(work.sysroot, deployments[1], work.journal, None)
    target = plan.after(HostState(), [observed])
    return replace(restore(work, target, "No change."), etc_from=deployments[1].id)


def _move(
    work: Work, refspec: str, revision: str | None, policies: Sequence[Policy], message: str | None = None
) -> Decision:
    """Onto another base: everything wanted is laid on it anew, by the first of the policies that can."""
    repo = work.repo
    if work.dry_run:
        repo, commit = base.peek(repo, refspec, revision, work.scratch)
    elif work.cacheonly:
        commit = base.at_hand(repo, refspec, revision)
    elif revision is None:
        commit = base.newest(repo, refspec, work.progress)
    else:
        commit = base.at_revision(repo, refspec, revision, work.progress)
    goal = Goal(
        refspec=refspec,
        base_commit=commit,
        version=base.facts(repo, commit).version,
        pinned_base=revision is not None,
        wanted=plan.wanted(work.state),
        policy=policies[-1],
    )
    for policy in policies[:-1]:
        try:
            return resolve(work, msgspec.structs.replace(goal, policy=policy), repo=repo, message=message)
        except (ResolveError, PackagesNotFound):
            continue  # what is layered does not fit this base
    return resolve(work, goal, repo=repo, message=message)


def _same_base(
    state: HostState, wanted: Sequence[Request], policy: Policy, kept: tuple[Package, ...] | None = None
) -> Goal:
    return Goal(
        refspec=state.refspec or "",
        base_commit=state.base_commit or "",
        version=state.version,
        pinned_base=state.pinned_base,
        wanted=tuple(sorted(set(wanted))),
        policy=policy,
        kept=kept,
    )


def _request(work: Work, spec: str) -> Request:
    """What a word of the command line asks for: a file is a local RPM."""
    path = Path(spec)
    return work.local.request(path) if spec.endswith(".rpm") and path.is_file() else Request(spec)
