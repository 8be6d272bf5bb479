"""The verbs that change requests or base: what each wants of the host. `Host.transact` carries out what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from journal.values import Package, Request
from layering import base, plan
from layering.base_facts import BaseFacts, base_facts
from layering.decision import Decision, resolve, resolve_first
from layering.errors import ProvidedByBase, ResolveError
from layering.host import Decide
from layering.nevra import compare
from layering.plan import Goal, Policy
from layering.work import Work
from projections import origin
from projections.host import HostState
from projections.packages import is_named

_GENTLY: tuple[Policy, ...] = ("offline", "prefer", "upgrade")
"""Another base alone moves no versions, unless it demands it: try what is layered, then add to it, then the newest."""


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
        return _swap(work, left, gone, (*left.wanted, *requests))
    if requests:
        return resolve(work, _same_base(state, (*state.wanted, *requests), "keep"))
    if not set(gone) & set(state.requested):
        return Decision(left)  # what is laid on the base does not change: no need to resolve anything
    return resolve(work, _same_base(state, left.wanted, "offline"))


def _swap(work: Work, left: HostState, gone: Sequence[Request], wanted: Sequence[Request]) -> Decision:
    """What the remaining requests have layered stays; what was layered for those that are gone does not count.

    Where the remaining requests need what is to go, because the new one is to serve them in its place, only what the
    requests themselves name goes.
    """
    state = work.state
    named = tuple(each for each in state.packages if not is_named(each, gone))
    try:
        kept = resolve(work, _same_base(state, left.wanted, "offline")).target.packages
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


def upgrade(*, allow_downgrade: bool = False) -> Decide:
    """The newest base of the refspec, and the newest of everything requested laid on it.

    A refspec that is a checksum stays with that commit; the packages move all the same. allow_downgrade: also where
    the newest base is older than the present one, as a replayed or reset branch is.
    """

    def decide(work: Work) -> Decision:
        refspec = work.state.refspec or ""
        pinned = bool(refspec) and base.is_commit(refspec)
        message = "Pinned to commit; no upgrade available" if pinned else "No upgrade available."
        return _move(work, refspec, None, ("upgrade",), message=message, allow_downgrade=allow_downgrade)

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


def _move(
    work: Work,
    refspec: str,
    revision: str | None,
    policies: Sequence[Policy],
    message: str | None = None,
    *,
    allow_downgrade: bool = True,
) -> Decision:
    """Onto another base: everything wanted is laid on it anew, by the first of the policies that can."""
    repo = work.repo
    if not refspec:
        image = work.state.origin_extra.get("origin", {}).get(origin.CONTAINER)
        follows = f"the container image {image}, which layer can't pull" if image else "nothing"
        raise base.NoRefspec(f"The host follows {follows}", hint="`layer rebase REFSPEC` makes it follow a refspec.")
    if work.dry_run:
        repo, commit = base.peek(repo, refspec, revision, work.scratch)
    elif work.cacheonly:
        commit = base.at_hand(repo, refspec, revision)
    elif revision is None:
        commit = base.newest(repo, refspec, work.progress)
    else:
        commit = base.at_revision(repo, refspec, revision, work.progress)
    facts = base_facts(repo, commit)
    if not allow_downgrade:
        _refuse_older(work, commit, facts)
    goals = [
        Goal(
            refspec=refspec,
            base_commit=commit,
            version=facts.version,
            pinned_base=revision is not None,
            wanted=work.state.wanted,
            policy=policy,
        )
        for policy in policies
    ]
    return resolve_first(work, goals, repo=repo, message=message)


def _refuse_older(work: Work, commit: str, facts: BaseFacts) -> None:
    present = work.state.base_commit or ""
    before = base_facts(work.repo, present)
    if facts.timestamp < before.timestamp:
        target, current = (f"{datetime.fromtimestamp(each.timestamp, UTC):%FT%TZ}" for each in (facts, before))
        raise base.Older(
            f"Upgrade target revision '{commit}' with timestamp '{target}' is chronologically older than current"
            f" revision '{present}' with timestamp '{current}'",
            hint="--allow-downgrade goes there all the same.",
        )


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
