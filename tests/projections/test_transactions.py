"""A transaction, told from its own events alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.values import Actor
from projections.host import HostState, fold, names
from projections.transactions import person, tell
from tests.projections.planned import history, states


@given(st.lists(st.none() | states(), min_size=1, max_size=5))
def test_it_left_the_state_that_all_events_up_to_it_lead_to(targets: list[HostState | None]) -> None:
    events = history(targets)
    for number in range(1, len(targets) + 1):
        told = tell([event for event in events if event.transaction == number])
        state = fold(event for event in events if event.transaction <= number).host or HostState()
        left = (told.refspec, told.base_commit, told.layered_commit, told.requested)
        assert left == (state.refspec, state.base_commit, state.layered_commit, names(state.requested))


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        (Actor(0, "root", 1000, "ann", invoked_by="bob"), "bob"),
        (Actor(0, "root", 1000, "ann"), "ann"),
        (Actor(0, "root"), "root"),
        (Actor(4711), "4711"),
    ],
)
def test_it_is_the_word_of_who_is_behind_sudo_then_of_who_logged_in_then_of_the_process(actor: Actor, who: str) -> None:
    assert person(actor) == who
