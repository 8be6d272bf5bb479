"""Planning undo and redo, without a host: what they lead to, and when they are refused."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from journal.values import Request
from layering.plan import Goal
from layering.undoing import AlreadySo, NotReversible, redo, undo
from projections.deeds import Deed, deeds
from projections.host import NOTHING, HostState, fold
from projections.transactions import Transaction, tell
from tests.projections.planned import NAMES, history, layer, package, states

BARE = HostState("remote:branch", "1" * 64, base_packages=("kernel-1-1.x86_64",))


def with_names(*names: str, **versions: int) -> HostState:
    return msgspec.structs.replace(BARE, **layer(names, versions))


def moved(state: HostState, number: int, refspec: str = "remote:branch") -> HostState:
    return msgspec.structs.replace(state, refspec=refspec, base_commit=f"{number}" * 64)


class Past:
    """A history, and its transaction `number` as undo and redo are given it."""

    def __init__(
        self, number: int, targets: Sequence[HostState | None], verbs: dict[int, tuple[str, str]] | None = None
    ):
        called = {1: ("adopt", ""), **(verbs or {})}
        spelled = [called.get(each, ("pkg-add", "")) for each in range(1, len(targets) + 1)]
        named = [(verb, (argument,) if argument else ()) for verb, argument in spelled]
        events = history(targets, named)
        self.told: Transaction = tell([each for each in events if each.transaction == number])
        self.since: list[Deed] = [each for each in deeds(events, NOTHING) if each.transaction >= number]
        self.state = fold(events).host or HostState()

    def undo(self) -> tuple[Goal, ...]:
        return undo(self.told, self.since, self.state)

    def redo(self) -> tuple[Goal, ...]:
        return redo(self.told, self.since, self.state)


def leads_to(goal: Goal, state: HostState) -> bool:
    """Whether the goal is this very state: requests, base, and the packages that count as layered."""
    base = (goal.refspec, goal.base_commit, goal.pinned_base)
    return (goal.wanted, base, goal.kept) == (state.wanted, state.base, state.packages)


@given(states(), states())
def test_undo_of_what_was_just_done_leads_back(before: HostState, after: HostState) -> None:
    assume((before.wanted, before.base, before.packages) != (after.wanted, after.base, after.packages))
    assert leads_to(Past(2, [before, after]).undo()[0], before)


@given(states(), states())
@example(with_names("jq"), msgspec.structs.replace(BARE, absorbed=(Request("jq"),)))
def test_redo_of_what_was_just_undone_leads_there_again(before: HostState, after: HostState) -> None:
    assume((before.wanted, before.base, before.packages) != (after.wanted, after.base, after.packages))
    assert leads_to(Past(2, [before, after, before], {3: ("undo", "2")}).redo()[0], after)


@given(states(), states(), st.lists(st.sampled_from(NAMES), unique=True))
def test_what_came_in_between_stays(before: HostState, after: HostState, others: list[str]) -> None:
    asked = {each.spec for each in after.wanted} ^ {each.spec for each in before.wanted}
    assume(asked)
    between = msgspec.structs.replace(
        after, requested=tuple(sorted({*after.requested, *(Request(f"other-{name}") for name in others)}))
    )
    goal = Past(2, [before, after, between]).undo()[0]
    assert {*goal.wanted} == {*before.wanted} | ({*between.wanted} - {*after.wanted})


def test_undo_and_redo_take_turns_as_often_as_one_likes() -> None:
    two, three = with_names("jq"), with_names("jq", "vim")
    turns = {4: ("undo", "3"), 5: ("redo", "3")}
    assert leads_to(Past(3, [BARE, two, three, two, three], turns).undo()[0], two)
    assert leads_to(Past(3, [BARE, two, three, two], turns).redo()[0], three)
    with pytest.raises(NotReversible, match="undone already, by transaction 4"):
        Past(3, [BARE, two, three, two], turns).undo()
    with pytest.raises(NotReversible, match=r"'vim' was asked for by transaction 5 \(redo\)"):
        Past(3, [BARE, two, three, two, three], turns).redo()


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ([BARE, with_names("jq"), BARE], r"'jq' was taken back by transaction 3 \(pkg-add\)"),
        ([BARE, with_names("jq"), BARE, with_names("jq")], r"'jq' was asked for by transaction 4 \(pkg-add\)"),
        ([with_names("jq"), BARE, with_names("jq")], r"'jq' was asked for by transaction 3 \(pkg-add\)"),
        ([with_names("jq"), BARE, with_names("jq"), BARE], r"'jq' was taken back by transaction 4 \(pkg-add\)"),
        ([BARE, moved(BARE, 2), moved(BARE, 3)], r"the base was moved by transaction 3 \(pkg-add\)"),
        ([BARE, moved(BARE, 1, "other:branch"), BARE], r"the base was moved by transaction 3 \(pkg-add\)"),
        ([with_names("jq"), with_names("jq", jq=2), with_names("jq", jq=3)], "jq-2-1.x86_64 is not layered now"),
    ],
)
def test_undo_is_refused_where_a_later_transaction_makes_it_meaningless(targets: list[HostState], reason: str) -> None:
    with pytest.raises(NotReversible, match=f"Transaction 2 can't be undone: {reason}"):
        Past(2, targets).undo()


def test_only_what_is_in_force_as_a_whole_is_done_already() -> None:
    """What `--idempotent` takes for success: neither a base that moved on nor a package that went is."""
    there = moved(with_names("jq"), 2)
    with pytest.raises(AlreadySo):
        Past(2, [BARE, there]).redo()
    for later in (moved(there, 3), msgspec.structs.replace(there, **layer(["jq"], {"jq": 2}))):
        with pytest.raises(NotReversible) as caught:
            Past(2, [BARE, there, later]).redo()
        assert not isinstance(caught.value, AlreadySo)


def test_all_reasons_are_given() -> None:
    with pytest.raises(NotReversible) as caught:
        Past(2, [BARE, with_names("jq", "vim"), BARE]).undo()
    assert "'jq'" in caught.value.message
    assert "'vim'" in caught.value.message


def test_a_refspec_is_left_also_where_its_base_moved_on() -> None:
    there = moved(with_names("jq"), 2, "other:branch")
    goal = Past(3, [BARE, with_names("jq"), there, moved(there, 3, "other:branch")]).undo()[0]
    assert (goal.refspec, goal.base_commit) == ("remote:branch", "1" * 64)


@pytest.mark.parametrize(
    ("verb", "reason"),
    [
        ("rollback", "is a rollback: it set the whole state"),
        ("replay", "is a replay: it set the whole state"),
        ("observe", r"\(observe\) only records what was found"),
    ],
)
def test_what_is_no_change_of_ones_own_is_refused(verb: str, reason: str) -> None:
    past = Past(2, [BARE, with_names("jq")], {2: (verb, "")})
    for reverse in (past.undo, past.redo):
        with pytest.raises(NotReversible, match=reason):
            reverse()


def test_what_changed_nothing_is_refused() -> None:
    with pytest.raises(NotReversible, match="Transaction 2 was refused: it changed nothing"):
        Past(2, [BARE, None, with_names("jq")]).undo()
    with pytest.raises(NotReversible, match=r"Transaction 2 \(pin\) changed neither requests nor base"):
        Past(2, [BARE, BARE], {2: ("pin", "1")}).redo()


def test_versions_that_an_upgrade_moved_go_back_with_it_and_later_ones_stay() -> None:
    old, new = with_names("jq", "vim"), moved(with_names("jq", "vim", jq=2, vim=2), 2)
    later = msgspec.structs.replace(new, **layer(["jq", "vim"], {"jq": 2, "vim": 3}))
    goal = Past(2, [old, new, later]).undo()[0]
    assert goal.kept == (package("jq", 1), package("vim", 3))


def test_the_packages_of_then_come_first_then_those_that_are_here_and_the_newest_only_on_another_base() -> None:
    """See docs/adr/0064."""
    then, here = package("jq", 1), package("jq", 2)
    moved_too = [with_names("jq"), moved(with_names("jq", jq=2), 2)]
    assert [(goal.policy, goal.kept) for goal in Past(2, moved_too).undo()] == [
        ("offline", (then,)),
        ("offline", (then, here)),
        ("prefer", (here,)),
        ("upgrade", (here,)),
    ]
    assert [(goal.policy, goal.kept) for goal in Past(2, [with_names("jq"), BARE]).undo()] == [
        ("offline", (then,)),
        ("offline", (then,)),
        ("prefer", ()),
    ]


def test_where_versions_are_all_that_moved_nothing_else_will_do() -> None:
    old, new = with_names("jq"), with_names("jq", jq=2)
    assert [goal.kept for goal in Past(2, [old, new]).undo()] == [old.packages]
    assert [goal.policy for goal in Past(2, [old, new, old]).redo()] == ["offline"]
