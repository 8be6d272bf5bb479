"""What has to stay on the disk for the sake of the history: the states of its last transactions, and of pinned ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from journal.events import BaseChanged, DeploymentObserved, LayerCommitted, TransactionCommitted
from journal.store import Journal
from journal.values import Package
from projections import points
from projections.host import HostState
from projections.transactions import events_backwards

LAST = 5
"""How many transactions keep their commits unless one says otherwise."""

_MOVES = (BaseChanged, DeploymentObserved, LayerCommitted)


def kept_states(journal: Journal, last: int = LAST) -> list[HostState]:
    """The present state, those that the last transactions left, and those of pinned transactions.

    last: how many transactions count. Those alone do that led the host to another commit: attempts that were refused,
    and pins, push nothing out.
    """
    present = points.at(journal).host
    if present is None:
        return []
    numbers = {*present.pinned, *_last_moves(journal, last)}
    ends = (journal.end_of(number) for number in sorted(numbers))
    states = (points.at(journal, end).host for end in ends if end)
    return [present, *(state for state in states if state)]


def refs_of(state: HostState) -> dict[str, str]:
    """The refs that hold the commits of a state: name (below `layer/`) to commit. See docs/adr/0003."""
    refs = {f"base/{state.base_commit}": state.base_commit} if state.base_commit else {}
    if state.layered_commit:
        # What another tool layered has no key.
        name = f"key/{state.layer_key}" if state.layer_key else f"commit/{state.layered_commit}"
        refs[name] = state.layered_commit
    return refs


def packages_of(state: HostState) -> set[Package]:
    """The packages that it takes to build a state again, local RPMs that are requested and not layered among them."""
    local = (Package(each.spec, each.sha256) for each in (*state.requested, *state.absorbed) if each.sha256)
    return {*state.packages, *local}


def _last_moves(journal: Journal, wanted: int) -> Iterator[int]:
    """The numbers of the last transactions that led to another commit, newest first, read no further than needed."""
    moves = (
        events[0].transaction
        for events in events_backwards(journal, journal.transactions)
        if isinstance(events[-1].payload, TransactionCommitted)
        and any(isinstance(event.payload, _MOVES) for event in events)
    )
    yield from islice(moves, wanted)
