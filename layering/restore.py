"""A state of the past again, exactly: from what is still here, or built anew from what the journal recorded.

Nothing is approximated. What it takes and can't be had is listed, all of it, and nothing is changed then.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from journal.values import Package
from layering import base, layers, plan
from layering.decision import Decision
from layering.errors import BaseError, LayeringError, RepositoryError
from layering.resolver import LOCAL, Located
from layering.work import Work
from projections.host import HostState


class NotReproduced(LayeringError):
    """A layer was built again from what was recorded, and came out different."""

    id = "not-reproduced"


class Unavailable(LayeringError):
    """Parts of a recorded state are to be had nowhere."""

    id = "unavailable"


def restore(work: Work, target: HostState, message: str) -> Decision:
    """The decision for a recorded state: its commit as it is, or built again.

    Raises:
        Unavailable: something that it takes is to be had nowhere; each part is named.
        NotReproduced: it was built again and is not what was recorded. ChecksumMismatch: see `Resolver.download`.
    """
    packages = plan.as_recorded(target.packages, work.state.packages)
    target = msgspec.structs.replace(target, origin_extra=work.state.origin_extra, packages=packages)
    decision = Decision(target, message)
    if not target.commit or work.sysroot.has_commit(target.commit):
        return decision
    if lost := _lost(work, target):
        raise Unavailable("\n  - ".join(["What that state takes is not to be had:", *lost]))
    if work.dry_run:
        return decision
    base.ensure(work.repo, target.refspec or "", target.base_commit or "", work.progress)
    return _rebuilt(work, decision) if target.layered_commit else decision


def _rebuilt(work: Work, decision: Decision) -> Decision:
    """The decision with its layered commit composed anew, which has to come out as it was."""
    target = decision.target
    scripts = layers.scripts_of(work, target)
    work.scripts = scripts or work.scripts
    bare = msgspec.structs.replace(target, layered_commit=None)
    rebuilt = layers.commit(work, replace(decision, target=bare))
    came_out = msgspec.structs.replace(rebuilt.target, packages=target.packages)
    if came_out.layered_commit == target.layered_commit:
        return replace(rebuilt, target=came_out)
    told = f"The layer was built again as {came_out.layered_commit}, not as {target.layered_commit}"
    if scripts is None and target.content and came_out.content == target.content:
        note = f"{told}, by another engine than then: its tree is the same but for the bytes of the rpmdb."
        return replace(rebuilt, target=came_out, notes=(*rebuilt.notes, note))
    if came_out.layer_key and not rebuilt.layer.get("reused"):
        work.sysroot.let_go([f"key/{came_out.layer_key}"])
    raise NotReproduced(
        told, hint="The engine has changed since, and what it makes of it differs." if scripts is None else None
    )


def _lost(work: Work, target: HostState) -> list[str]:
    """What this state takes and can't be had, a line each."""
    lost: list[str] = []
    repo, commit = work.repo, target.base_commit or ""
    try:
        repo = base.peek_commit(repo, target.refspec or "", commit, work.scratch, offline=work.cacheonly)
    except BaseError as error:
        lost.append(f"base commit {commit}: {error.message}")
        commit = work.state.base_commit or ""  # packages are looked for all the same
    if target.layered_commit is None:
        return lost
    if target.layer_key is None:
        return [*lost, f"layered commit {target.layered_commit}: another tool made it, and did not record what of"]
    missing = [each for each in target.packages if work.local.find(each) is None]
    try:
        located = work.resolver(repo, commit).locate(missing) if missing else Located()
    except RepositoryError as error:
        return [*lost, *(f"{_described(each)}: {error.message}" for each in missing)]
    return [*lost, *(_described(each) for each in located.missing)]


def _described(package: Package) -> str:
    return f"{'local ' if package.repository == LOCAL else ''}package {package.nevra} (sha256 {package.sha256})"
