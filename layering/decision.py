"""Where a verb wants the host to be, its dependencies resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from journal.events import Payload
from journal.values import Package, Request
from layering import nevra, plan
from layering.errors import PackagesNotFound, ResolveError
from layering.plan import Goal
from layering.resolver import LOCAL, Demand
from layering.rpmdb import installed
from layering.work import Work
from projections.host import HostState
from projections.packages import package_changes

if TYPE_CHECKING:
    from gi.repository import OSTree


@dataclass(frozen=True)
class Decision:
    """Where the host should be, dependencies known.

    target: its layered commit is None until it is composed, or if there is nothing to layer. message: what to say
    where it comes out that nothing changes. etc_from: the deployment whose /etc to take on. layer: how the commit
    came about, for `LayerCommitted`. notes: what the administrator should hear of, one sentence each. source: what is
    recorded of where the target comes from, changes or no changes.
    """

    target: HostState
    message: str | None = None
    etc_from: str | None = None
    layer: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: tuple[Payload, ...] = ()

    def changes(self, state: HostState) -> tuple[Payload, ...]:
        """The events that lead there from this state."""
        packages = package_changes(state.packages, self.target.packages, nevra.compare)
        return plan.changes(state, self.target, packages, layer=self.layer)


def resolve(work: Work, goal: Goal, *, repo: OSTree.Repo | None = None, message: str | None = None) -> Decision:
    """The decision that meets this goal. repo: where the base is to be read, if not in the sysroot's repository.

    Raises:
        PackagesNotFound, ResolveError, RepositoryError: it can't be met.
    """
    packages: tuple[Package, ...] = ()
    provided: set[str] = set()
    notes: tuple[str, ...] = ()
    required_by: dict[str, tuple[str, ...]] = {}
    if goal.wanted:
        work.progress.step("Resolving dependencies")
        kept = work.state.packages if goal.kept is None else goal.kept
        resolution = work.resolver(repo or work.repo, goal.base_commit).resolve(
            Demand(
                requests=goal.wanted,
                kept=kept,
                cached=work.headers([*kept, *_local(goal.wanted)]),
                policy=goal.policy,
            )
        )
        packages = plan.as_recorded(resolution.packages, work.state.packages)
        provided, notes = set(resolution.provided_by_base), resolution.notes
        required_by = dict(resolution.required_by)
    target = HostState(
        refspec=goal.refspec or None,
        base_commit=goal.base_commit,
        version=goal.version,
        pinned_base=goal.pinned_base,
        requested=tuple(each for each in goal.wanted if each.spec not in provided),
        absorbed=tuple(each for each in goal.wanted if each.spec in provided),
        packages=packages,
        origin_extra=work.state.origin_extra,
        base_packages=_base_packages(work, repo or work.repo, goal.base_commit),
        required_by=required_by,
    )
    if (goal.base_commit, packages) == (work.state.base_commit, work.state.packages):
        target = msgspec.structs.replace(
            target,
            layered_commit=work.state.layered_commit,
            layer_key=work.state.layer_key,
            content=work.state.content,
        )
    return Decision(target, message, notes=notes)


def resolve_first(
    work: Work, goals: Sequence[Goal], *, repo: OSTree.Repo | None = None, message: str | None = None
) -> Decision:
    """As `resolve`, of the first of these goals that can be met; if none can, why not the last. All are on one base."""
    for goal in goals[:-1]:
        try:
            return resolve(work, goal, repo=repo, message=message)
        except (ResolveError, PackagesNotFound):
            continue  # what is layered does not fit
    return resolve(work, goals[-1], repo=repo, message=message)


def _base_packages(work: Work, repo: OSTree.Repo, base_commit: str) -> tuple[str, ...]:
    if base_commit == work.state.base_commit:
        return work.state.base_packages
    return tuple(installed(work.rpmdb(repo, base_commit)))


def _local(requests: Iterable[Request]) -> list[Package]:
    return [Package(each.spec, each.sha256, LOCAL) for each in requests if each.sha256]
