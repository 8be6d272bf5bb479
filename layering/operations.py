"""The verbs: where each wants the host to be. One function a verb; `Host.transact` carries out what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from journal.events import Package, Request
from layering import base, plan
from layering.errors import PackagesNotFound, ProvidedByBase, Refused, ResolveError
from layering.host import Decide
from layering.labels import Labels
from layering.layers import Decision, Work
from layering.plan import Goal, Policy
from layering.resolver import LOCAL
from layering.rpmfile import read_rpm
from projections import points
from projections.errors import NoSuchPoint
from projections.host import HostState

_GENTLY: tuple[Policy, ...] = ("offline", "prefer", "upgrade")
"""Another base alone moves no versions, unless it demands it: try what is layered, then add to it, then the newest."""


class NoRollback(Refused):
    """There is no deployment to go back to."""

    id = "no-rollback"


def pkg_add(specs: Sequence[str], *, idempotent: bool, allow_inactive: bool) -> Decide:
    """Ask for more packages, on the present base."""

    def decide(work: Work) -> Decision:
        state = work.state
        requests = plan.grow(state, [_request(work, spec) for spec in specs], idempotent=idempotent)
        if not requests:
            return Decision(state)
        resolver = work.resolver(work.repo, state.base_commit or "")
        provided = resolver.provided_by_base([each.spec for each in requests])
        if provided and not allow_inactive:
            raise ProvidedByBase(
                "\n".join(
                    f'"{spec}" is already provided by: {nevra}. Use --allow-inactive to explicitly require it.'
                    for spec, nevra in provided.items()
                )
            )
        return work.resolve(_same_base(state, (*plan.wanted(state), *requests), "keep"))

    return decide


def pkg_delete(specs: Sequence[str], *, everything: bool, idempotent: bool) -> Decide:
    """Take requests back, on the present base; needs no network."""

    def decide(work: Work) -> Decision:
        state = work.state
        gone = set(plan.shrink(state, specs, everything=everything, idempotent=idempotent))
        remaining = tuple(each for each in plan.wanted(state) if each not in gone)
        if not gone & set(state.requested):
            # What is laid on the base does not change: no need to resolve anything.
            absorbed = tuple(each for each in state.absorbed if each not in gone)
            return Decision(msgspec.structs.replace(state, absorbed=absorbed))
        return work.resolve(_same_base(state, remaining, "offline"))

    return decide


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
        decision = work.restore(target, "No change.")
        return replace(decision, etc_from=on_disk.id if on_disk else None)

    return decide


def _previous(work: Work) -> Decision:
    deployments = work.sysroot.deployments
    if len(deployments) < 2:  # noqa: PLR2004 - the head, and one before it
        raise NoRollback("No rollback deployment found")
    from layering.sync import describe

    observed = describe(work.sysroot, deployments[1], work.journal, None)
    target = plan.after(HostState(), [observed])
    return replace(work.restore(target, "No change."), etc_from=deployments[1].id)


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
            return work.resolve(msgspec.structs.replace(goal, policy=policy), repo=repo, message=message)
        except (ResolveError, PackagesNotFound):
            continue  # what is layered does not fit this base
    return work.resolve(goal, repo=repo, message=message)


def _same_base(state: HostState, wanted: Sequence[Request], policy: Policy) -> Goal:
    return Goal(
        refspec=state.refspec or "",
        base_commit=state.base_commit or "",
        version=state.version,
        pinned_base=state.pinned_base,
        wanted=tuple(sorted(set(wanted))),
        policy=policy,
    )


def _request(work: Work, spec: str) -> Request:
    """What a word of the command line asks for: a file is a local RPM, which is imported at once."""
    path = Path(spec)
    if not (spec.endswith(".rpm") and path.is_file()):
        return Request(spec)
    file = read_rpm(path)
    package = Package(file.nevra, file.sha256, LOCAL)
    if not work.cache.find(package):
        work.cache.import_rpm(path, package, Labels(work.policy(work.state.base_commit or "")))
    return Request(file.nevra, file.sha256)
