"""Planning `undo` and `redo`: from what a transaction did, and what came since, to goals. Pure; see docs/adr/0064."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from journal.values import Package, Request
from layering.errors import Refused
from layering.plan import Goal, Policy
from projections.deeds import Deed
from projections.host import HostState
from projections.packages import name_arch
from projections.transactions import Transaction

_NOT_OURS = ("adopt", "observe")
_WHOLE_STATES = ("rollback", "replay")


class NotReversible(Refused):
    """Undoing the transaction, or doing it again, makes no sense."""

    id = "not-reversible"


class AlreadySo(NotReversible):
    """It is undone already, or in force as it is."""

    id = "already-so"


def undo(told: Transaction, history: Sequence[Deed], state: HostState) -> tuple[Goal, ...]:
    """Take back what a transaction did to requests, base and versions, on top of this state: goals to try in turn.

    Args:
        told: the transaction. history: the committed transactions from it on, itself the first if it is one.

    Raises:
        NotReversible: it did nothing of the kind, or what came since makes it meaningless; all reasons are given.
        AlreadySo: nothing is left to do.
    """
    done, since = _reversible(told, history)
    number, turned = done.transaction, _turns(done, since)
    if turned and turned[-1].verb == "undo":
        raise AlreadySo(f"Transaction {number} is undone already, by transaction {turned[-1].transaction}")
    later = [each for each in since if not turned or each.position > turned[-1].position]
    reasons = [
        *_unlike(done.asked, later, state, wanted=True, untouched=True),
        *_unlike(done.taken_back, later, state, wanted=False, untouched=True),
        *_unlike_base(done.after, done, later, state),
        *_unlike_packages(done.brought, done, state),
    ]
    if reasons:
        raise NotReversible(_listed(f"Transaction {number} can't be undone", reasons))
    wanted = ({*state.wanted} - done.asked) | done.taken_back
    return _goals(state, done.after, done.before, done, wanted)


def redo(told: Transaction, history: Sequence[Deed], state: HostState) -> tuple[Goal, ...]:
    """Do again what a transaction did to requests, base and versions, on top of this state. As `undo`."""
    done, since = _reversible(told, history)
    so_far = (done, *since)
    reasons = [
        *_unlike(done.asked, so_far, state, wanted=False),
        *_unlike(done.taken_back, so_far, state, wanted=True),
        *_unlike_base(done.before, done, so_far, state),
        *_unlike_packages({*done.before.packages} - {*done.after.packages}, done, state),
    ]
    if reasons:
        kind = AlreadySo if _is_in_force(done, state) else NotReversible
        raise kind(_listed(f"Transaction {done.transaction} can't be done again", reasons))
    wanted = ({*state.wanted} | done.asked) - done.taken_back
    return _goals(state, done.before, done.after, done, wanted)


def _reversible(told: Transaction, history: Sequence[Deed]) -> tuple[Deed, Sequence[Deed]]:
    """The transaction as a deed, and those after it."""
    number, verb = told.transaction, told.verb
    if told.outcome == "running":
        raise NotReversible(f"Transaction {number} has no outcome yet")
    if told.outcome != "committed":
        how = "came to no change" if told.outcome == "unchanged" else f"was {told.outcome}"
        hint = None if told.outcome == "unchanged" else f"To try again: {told.command_line}"
        raise NotReversible(f"Transaction {number} {how}: it changed nothing", hint=hint)
    if verb in _NOT_OURS:
        raise NotReversible(f"Transaction {number} ({verb}) only records what was found on the host")
    if verb in _WHOLE_STATES:
        raise NotReversible(
            f"Transaction {number} is a {verb}: it set the whole state",
            hint=f"`layer rollback {number - 1}` goes to the state before it, `layer rollback {number}` to that after.",
        )
    done, *since = history
    if done.moved_versions_alone and done.before.packages == done.after.packages:
        raise NotReversible(f"Transaction {number} ({verb}) changed neither requests nor base")
    return done, since


def _is_in_force(done: Deed, state: HostState) -> bool:
    """Whether all that the transaction did is so now."""
    wanted = {*state.wanted}
    base = not done.moved_base or state.base == done.after.base
    return base and done.asked <= wanted and not done.taken_back & wanted and done.brought <= {*state.packages}


def _turns(done: Deed, since: Iterable[Deed]) -> list[Deed]:
    """The later transactions that undid this one, or did it again."""
    return [each for each in since if each.verb in ("undo", "redo") and each.arguments == (str(done.transaction),)]


def _unlike(
    requests: Iterable[Request], later: Sequence[Deed], state: HostState, *, wanted: bool, untouched: bool = False
) -> Iterator[str]:
    """Which requests are not as they have to be, and through whom: asked for or not, and if so nobody else's since."""
    for request in sorted(requests):
        last = next((each for each in reversed(later) if request in each.asked | each.taken_back), None)
        if (request in state.wanted) == wanted and not (untouched and last):
            continue
        if last:
            how = "asked for" if request in last.asked else "taken back"
            yield f"'{request.spec}' was {how} by transaction {last.transaction} ({last.verb})"
        else:
            yield f"'{request.spec}' is {'not ' if wanted else ''}requested now"


def _unlike_base(expected: HostState, done: Deed, later: Sequence[Deed], state: HostState) -> Iterator[str]:
    """Why the base is not what it has to be. One that only moved on along its refspec can be left for another one."""
    if not done.moved_base or state.base == expected.base:
        return
    if done.before.refspec != done.after.refspec and state.refspec == expected.refspec:
        return
    last = next((each for each in reversed(later) if each.moved_base), None)
    yield f"the base was moved by transaction {last.transaction} ({last.verb})" if last else "the base is another now"


def _unlike_packages(packages: Iterable[Package], done: Deed, state: HostState) -> Iterator[str]:
    """Where versions are all that it moved, they have to be where it left or found them."""
    if done.moved_versions_alone:
        yield from (f"{each.nevra} is not layered now" for each in sorted({*packages} - {*state.packages}))


def _goals(
    state: HostState, start: HostState, end: HostState, done: Deed, wanted: Iterable[Request]
) -> tuple[Goal, ...]:
    """What to try in turn: the very packages of then, what is here and was then, what the repositories have.

    start, end: the states that the transaction led from and to, the other way round for `undo`.
    """
    gone = {*start.packages} - {*end.packages}
    back = {*end.packages} - {*start.packages}
    staying = [each for each in state.packages if each not in gone]
    names = {name_arch(each.nevra) for each in staying}
    as_then = (*staying, *(each for each in back if name_arch(each.nevra) not in names))
    base = end if done.moved_base else state

    def goal(kept: Iterable[Package], policy: Policy) -> Goal:
        return Goal(
            refspec=base.refspec or "",
            base_commit=base.base_commit or "",
            version=base.version,
            pinned_base=base.pinned_base,
            wanted=tuple(sorted(wanted)),
            policy=policy,
            kept=tuple(sorted(kept)),
        )

    exactly = goal(as_then, "offline")
    if done.moved_versions_alone:
        return (exactly,)
    others = (goal({*state.packages, *back}, "offline"), goal(state.packages, "prefer"))
    return (exactly, *others, goal(state.packages, "upgrade")) if done.moved_base else (exactly, *others)


def _listed(what: str, reasons: Sequence[str]) -> str:
    return f"{what}: {reasons[0]}" if len(reasons) == 1 else "\n  - ".join([f"{what}:", *reasons])
