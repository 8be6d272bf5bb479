"""Histories as the verbs write them: each transaction leads, by the plan, from the state before it to another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from journal.events import (
    DeploymentObserved,
    Event,
    Payload,
    TransactionCommitted,
    TransactionRefused,
    TransactionStarted,
)
from journal.identifiers import uuid7
from journal.values import Package, Request, Summary
from layering.nevra import compare
from layering.plan import changes
from projections.host import HostState, fold
from projections.packages import package_changes
from tests.drafts import START
from tests.projections.strategies import _event

NAMES = ("strace", "jq", "htop", "vim")


def package(name: str, version: int) -> Package:
    return Package(f"{name}-{version}-1.x86_64", f"{version}" * 64, "updates")


def layer(wanted: Sequence[str], versions: dict[str, int], *, absorbed: Sequence[str] = ()) -> dict[str, object]:
    """What a state says of these requests: the packages of their names, but for those that the base has."""
    active = [name for name in sorted(wanted) if name not in absorbed]
    packages = tuple(package(name, versions.get(name, 1)) for name in active)
    return {
        "requested": tuple(Request(name) for name in active),
        "absorbed": tuple(Request(name) for name in sorted(wanted) if name in absorbed),
        "packages": tuple(sorted(packages)),
        "layered_commit": hashlib.sha256(repr(packages).encode()).hexdigest() if packages else None,
    }


@st.composite
def states(draw: Callable[..., object]) -> HostState:
    """A state with any of the names wanted, some absorbed, at any version, on one of two bases."""
    wanted = draw(st.lists(st.sampled_from(NAMES), unique=True))
    absorbed = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=1))
    versions = draw(st.fixed_dictionaries({name: st.integers(1, 3) for name in NAMES}))
    number = draw(st.integers(1, 2))
    said = layer(wanted, versions, absorbed=absorbed)  # type: ignore[arg-type]
    base = [f"kernel-{number}-1.x86_64", *(f"{name}-1-1.x86_64" for name in absorbed)]  # type: ignore[attr-defined]
    return HostState("remote:branch", f"{number}" * 64, base_packages=tuple(sorted(base)), **said)  # type: ignore[arg-type]


def history(targets: Sequence[HostState | None], verbs: Sequence[tuple[str, tuple[str, ...]]] = ()) -> list[Event]:
    """One transaction for each state; the first is adopted, and one without a state is refused.

    verbs: verb and arguments of the transactions, the first one's too; `verb` where there is none.
    """
    events: list[Event] = []
    for number, target in enumerate(targets, 1):
        state = fold(events).host
        verb, arguments = verbs[number - 1] if number <= len(verbs) else ("verb", ())
        said: tuple[Payload, ...]
        if target is None:
            said = (TransactionRefused("refused", "no"),)
        elif state is None:
            said = (observed(target), TransactionCommitted(f"os-{number:064x}.0"))
        else:
            packages = package_changes(state.packages, target.packages, compare)
            said = (*changes(state, target, packages), TransactionCommitted(f"os-{number:064x}.0"))
        uuid = uuid7(START + number)
        started = TransactionStarted(verb, arguments, before=state.summary if state else Summary())
        for payload in (started, *said):
            events.append(_event(len(events) + 1, number, uuid, payload))
    return events


def observed(state: HostState) -> DeploymentObserved:
    """The state as something that was found."""
    return DeploymentObserved(
        deployment=f"os-{state.commit}.0",
        commit=state.commit or "",
        base_commit=state.base_commit or "",
        refspec=state.refspec,
        requested=state.requested,
        absorbed=state.absorbed,
        packages=state.packages,
        base_packages=state.base_packages,
    )
