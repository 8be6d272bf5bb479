"""How two states differ: mirrored the other way round, nothing forgotten, nothing told twice."""

from __future__ import annotations

from hypothesis import given

from journal.values import Package
from layering.nevra import compare
from projections.difference import Difference, difference
from projections.host import HostState
from tests.projections.planned import states


def diff(old: HostState, new: HostState) -> Difference:
    return difference(1, old, 2, new, compare)


def inventory(state: HostState) -> set[str]:
    return {*state.base_packages, *(each.nevra for each in state.packages)}


@given(states(), states())
def test_the_other_way_round_it_is_mirrored(one: HostState, two: HostState) -> None:
    there, back = diff(one, two), diff(two, one)
    assert (back.refspec, back.base_commit) == (there.refspec[::-1], there.base_commit[::-1])
    assert (back.requested.added, back.requested.removed) == (there.requested.removed, there.requested.added)
    assert (back.packages.added, back.packages.removed) == (there.packages.removed, there.packages.added)
    assert [pair[::-1] for pair in back.packages.downgraded] == list(there.packages.upgraded)


@given(states(), states())
def test_what_it_tells_leads_from_one_inventory_to_the_other(one: HostState, two: HostState) -> None:
    packages = diff(one, two).packages
    changed = (*packages.upgraded, *packages.downgraded)
    gone = {*packages.removed, *(old for old, _ in changed)}
    come = {*packages.added, *(new for _, new in changed)}
    assert gone <= inventory(one)
    assert not come & inventory(one)
    assert (inventory(one) - gone) | come == inventory(two)


@given(states())
def test_a_state_does_not_differ_from_itself(state: HostState) -> None:
    found = diff(state, state)
    assert not any((*found.requested.added, *found.requested.removed))
    assert found.packages == type(found.packages)()


def test_a_package_that_the_base_took_over_is_the_same_one() -> None:
    layered = HostState(base_commit="a", packages=(Package("jq-1-1.x86_64", "c" * 64),))
    in_base = HostState(base_commit="b", base_packages=("jq-1-1.x86_64",))
    assert diff(layered, in_base).packages == diff(in_base, in_base).packages


def test_versions_are_ordered_as_rpm_orders_them_in_the_base_and_in_the_layer() -> None:
    old = HostState(base_packages=("bash-1:5.2-9.x86_64",), packages=(Package("jq-1.9-1.x86_64", "c" * 64),))
    new = HostState(base_packages=("bash-5.10-1.x86_64",), packages=(Package("jq-1.10-1.x86_64", "d" * 64),))
    assert diff(old, new).packages.upgraded == (("jq-1.9-1.x86_64", "jq-1.10-1.x86_64"),)
    assert diff(old, new).packages.downgraded == (("bash-1:5.2-9.x86_64", "bash-5.10-1.x86_64"),)


def test_a_package_made_anew_under_its_nevra_counts_as_upgraded() -> None:
    old, new = (HostState(packages=(Package("jq-1-1.x86_64", each * 64),)) for each in "cd")
    assert diff(old, new).packages.upgraded == (("jq-1-1.x86_64", "jq-1-1.x86_64"),)
    unknown = HostState(packages=(Package("jq-1-1.x86_64"),))
    assert diff(old, unknown).packages == diff(old, old).packages


def test_several_versions_side_by_side_are_told_apart() -> None:
    old = HostState(base_packages=("kernel-1-1.x86_64", "kernel-2-1.x86_64"))
    new = HostState(base_packages=("kernel-2-1.x86_64", "kernel-3-1.x86_64"))
    assert diff(old, new).packages.upgraded == (("kernel-1-1.x86_64", "kernel-3-1.x86_64"),)
    three = HostState(base_packages=("kernel-3-1.x86_64", "kernel-4-1.x86_64", "kernel-5-1.x86_64"))
    found = diff(old, three).packages
    assert (found.removed, len(found.added), found.upgraded) == (old.base_packages, 3, ())
