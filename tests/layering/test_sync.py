"""Whether a deployment is the one that the journal leads to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from journal.values import Package, Request
from layering.sync import is_known
from layering.sysroot import Deployment
from projections import origin
from projections.host import HostState

STATE = HostState(
    "remote:branch",
    "a" * 64,
    requested=(Request("jq"),),
    packages=(Package("jq-1-1.x86_64"),),
    layered_commit="b" * 64,
    deployed_by="uuid",
)


def deployed(state: HostState, by: str = "uuid") -> Deployment:
    return Deployment(f"os-{state.commit}.0", state.commit or "", origin.render(state, by), Path("/"))


def test_a_deployment_of_the_state_by_the_transaction_that_made_it_is_known() -> None:
    assert is_known(STATE, deployed(STATE))


@pytest.mark.parametrize(
    "change",
    [
        {"layered_commit": "c" * 64},
        {"refspec": "remote:other"},
        {"requested": (Request("vim"),)},
        {"pinned_base": True},
    ],
)
def test_one_that_differs_in_anything_that_an_origin_tells_is_not(change: dict[str, object]) -> None:
    assert not is_known(STATE, deployed(msgspec.structs.replace(STATE, **change)))  # type: ignore[arg-type]


def test_one_that_another_transaction_made_is_not() -> None:
    assert not is_known(STATE, deployed(STATE, "another"))
