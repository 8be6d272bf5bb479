"""The fold: the same state however one comes to it, and nothing that was not committed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.events import (
    OUTCOMES,
    BaseChanged,
    DeploymentObserved,
    Event,
    LayerCommitted,
    RequestsChanged,
    TransactionCommitted,
    TransactionPinned,
    TransactionStarted,
    TransactionUnpinned,
    UnknownEvent,
)
from journal.values import Package, PackageChange, Request
from projections.errors import EventNotUnderstood
from projections.host import HostState, Projection, apply, evolve, fold
from tests.projections.strategies import _event, histories, replaced, some_nevras, some_packages


@given(histories())
def test_event_by_event_comes_to_the_same_as_all_at_once(events: list[Event]) -> None:
    projection = Projection()
    for event in events:
        projection = apply(projection, event)
    assert projection == fold(events)
    assert projection.position == len(events)


@given(histories(), st.data())
def test_going_on_from_any_snapshot_comes_to_the_same(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    stored = msgspec.json.encode(fold(events[:cut]))
    assert fold(events[cut:], msgspec.json.decode(stored, type=Projection)) == fold(events)


@given(histories())
def test_only_what_was_committed_counts(events: list[Event]) -> None:
    """The state is what one gets from the committed transactions alone, each on what it found when it started."""
    ended = {e.transaction: e for e in events if isinstance(e.payload, OUTCOMES)}
    found: dict[int, HostState] = {}
    state = None
    for event in events:
        if isinstance(event.payload, TransactionStarted):
            found[event.transaction] = state or HostState()
        elif isinstance(event.payload, TransactionCommitted):
            state = found[event.transaction]
            for each in events:
                if each.transaction == event.transaction and each.position < event.position:
                    state = evolve(state, each.payload)
            state = msgspec.structs.replace(state, transaction=event.transaction)
            if event.payload.deployment and event.payload.deployment != state.deployment:
                state = msgspec.structs.replace(
                    state, deployment=event.payload.deployment, deployed_by=event.transaction_uuid
                )
    assert fold(events).host == state
    assert {each.number for each in fold(events).open} == {e.transaction for e in events} - set(ended)


@given(histories())
def test_sets_are_sorted_and_never_overlap_by_change(events: list[Event]) -> None:
    state = fold(events).host
    if state:
        assert list(state.requested) == sorted(set(state.requested))
        assert list(state.packages) == sorted(set(state.packages))


@given(some_nevras, some_nevras, some_nevras)
def test_a_new_base_has_what_was_added_and_not_what_was_removed(
    base: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    changed = evolve(HostState(base_packages=base), BaseChanged("a:b", "c" * 64, None, False, added, removed))
    assert changed.base_packages == tuple(sorted({*base, *added} - {*removed}))


@given(some_packages, some_packages, some_packages, replaced)
def test_a_new_layer_lacks_what_was_removed_and_has_what_was_added(
    packages: tuple[Package, ...],
    added: tuple[Package, ...],
    removed: tuple[Package, ...],
    upgraded: tuple[PackageChange, ...],
) -> None:
    change = LayerCommitted("c" * 64, "b" * 64, None, added, removed, upgraded)
    gone, come = {*removed, *(each.old for each in upgraded)}, {*added, *(each.new for each in upgraded)}
    before = HostState(packages=tuple(sorted(packages)))
    assert evolve(before, change).packages == tuple(sorted(({*packages} - gone) | come))


def test_a_fold_that_would_need_an_unknown_event_refuses_and_names_it() -> None:
    events = [
        _event(1, 1, "u", TransactionStarted("pkg-add")),
        msgspec.structs.replace(_event(2, 1, "u", UnknownEvent(msgspec.Raw(b"{}"))), type="moon-phase"),
    ]
    with pytest.raises(EventNotUnderstood, match=r"Event 2 .*moon-phase"):
        fold(events)
    assert fold(events[:1]).position == 1


def test_what_is_absorbed_leaves_the_requested_set_and_comes_back_when_reinstated() -> None:
    strace = Request("strace")
    state = evolve(HostState(), RequestsChanged(added=(strace,)))
    absorbed = evolve(state, RequestsChanged(absorbed=(strace,)))
    assert (absorbed.requested, absorbed.absorbed) == ((), (strace,))
    assert evolve(absorbed, RequestsChanged(reinstated=(strace,))) == state


def test_a_state_without_packages_has_no_layered_commit() -> None:
    base, layer, jq = "a" * 64, "b" * 64, Package("jq-1-1.x86_64")
    layered = evolve(HostState(base_commit=base), LayerCommitted(layer, base, added=(jq,)))
    assert (layered.layered_commit, layered.commit) == (layer, layer)
    bare = evolve(layered, LayerCommitted(base, base, removed=(jq,)))
    assert (bare.layered_commit, bare.commit) == (None, base)


@pytest.mark.parametrize("named", [None, "another"])
def test_a_deployment_that_was_observed_is_by_whom_its_origin_names(named: str | None) -> None:
    observed = DeploymentObserved("os-a.0", "a" * 64, "a" * 64, "remote:branch", transaction_uuid=named)
    payloads = (TransactionStarted("observe"), observed, TransactionCommitted("os-a.0"))
    state = fold(_event(number, 1, "own", payload) for number, payload in enumerate(payloads, 1)).host
    assert state is not None
    assert (state.deployment, state.deployed_by, state.transaction) == ("os-a.0", named, 1)


def test_a_pin_stays_through_whatever_else_happens_until_it_is_taken_back() -> None:
    state = evolve(evolve(HostState(), TransactionPinned(7)), TransactionPinned(2, "os-a.0"))
    assert state.pinned == (2, 7)
    observed = DeploymentObserved("os-b.0", "b" * 64, "b" * 64, "remote:branch")
    assert evolve(state, observed).pinned == (2, 7)
    assert evolve(state, TransactionUnpinned(7)).pinned == (2,)
