"""The verbs that go through the history: `rollback`, `undo`, `redo`, and `replay` of another one's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from journal.events import JournalReplayed
from journal.store import Journal
from layering import base, plan, undoing
from layering.decision import Decision, resolve_first
from layering.errors import Refused
from layering.host import Decide
from layering.plan import Goal
from layering.restore import restore
from layering.sync import describe
from layering.verification import require_unaltered
from layering.work import Work
from projections import points
from projections.deeds import Deed, deeds
from projections.errors import NoSuchPoint
from projections.host import HostState
from projections.transactions import Transaction, tell

_Reversing = Callable[[Transaction, Sequence[Deed], HostState], tuple[Goal, ...]]


class NoRollback(Refused):
    """There is no deployment to go back to."""

    id = "no-rollback"


def rollback(point: str | None, now: datetime, last: int | None) -> Decide:
    """The state after a transaction or at an instant; without either, that of the previous deployment.

    last: the newest transaction when the verb was called: the rollback itself is one, too.
    """

    def decide(work: Work) -> Decision:
        if point is None:
            return _previous(work)
        journal = work.recorded
        target = _state_at(journal, points.position_of(journal, point, now, last), point)
        on_disk = next((each for each in work.sysroot.deployments if each.id == target.deployment), None)
        decision = restore(work, target, "No change.")
        return replace(decision, etc_from=on_disk.id if on_disk else None)

    return decide


def undo(point: str, last: int | None, *, idempotent: bool = False) -> Decide:
    """Take back what a transaction did to requests and base, on top of the present state.

    last: as in `rollback`. idempotent: change nothing, and succeed, where it is so already.
    """
    return _reverse(point, last, undoing.undo, idempotent)


def redo(point: str, last: int | None, *, idempotent: bool = False) -> Decide:
    """Do again what a transaction did to requests and base, on top of the present state. As `undo`."""
    return _reverse(point, last, undoing.redo, idempotent)


def replay(other: Journal, position: int) -> Decide:
    """The state that another journal leads to at a position, exactly.

    Raises:
        NoSuchPoint: it has no state there. JournalAltered: what it says is not what was recorded in it.
    """
    require_unaltered(other.path, position)
    target = _state_at(other, position, "that point")
    (outcome,) = other.events(position - 1, position)
    source = JournalReplayed(
        transaction=outcome.transaction,
        position=position,
        root_hash=other.root_hash_at(position).hex(),
        machine_id=outcome.host.machine_id,
    )

    def decide(work: Work) -> Decision:
        return replace(restore(work, target, "No change."), source=(source,))

    return decide


def _previous(work: Work) -> Decision:
    deployments = work.sysroot.deployments
    if len(deployments) < 2:  # noqa: PLR2004 - the head, and one before it
        raise NoRollback("No rollback deployment found")
    observed = describe(work.sysroot, deployments[1], work.journal, None)
    target = plan.after(HostState(), [observed])
    return replace(restore(work, target, "No change."), etc_from=deployments[1].id)


def _reverse(point: str, last: int | None, reversing: _Reversing, idempotent: bool) -> Decide:
    def decide(work: Work) -> Decision:
        journal = work.recorded
        number = points.named(journal, point, last)
        own = points.events_of(journal, number)
        start = own[0].position - 1
        found = deeds(journal.events(start), points.at(journal, start))
        history = [each for each in found if each.transaction >= number]
        try:
            goals = reversing(tell(own), history, work.state)
        except undoing.AlreadySo as so:
            if not idempotent:
                raise
            return Decision(work.state, so.message)
        return _first_that_can_be(work, goals)

    return decide


def _first_that_can_be(work: Work, goals: Sequence[Goal]) -> Decision:
    """The decision for the first of these goals, all on the same base, that can be met."""
    first = goals[0]
    repo = work.repo
    if work.dry_run or work.cacheonly:
        repo = base.peek_commit(repo, first.refspec, first.base_commit, work.scratch, offline=work.cacheonly)
    else:
        base.ensure(repo, first.refspec, first.base_commit, work.progress)
    return resolve_first(work, goals, repo=repo)


def _state_at(journal: Journal, position: int, point: str) -> HostState:
    state = points.at(journal, position).host
    if state is None:
        raise NoSuchPoint(f"The history has no state yet at {point}")
    return state
