"""Histories as hosts may have them: any sequence of transactions, with any outcome, also interleaved and cut off."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from journal.events import (
    BaseChanged,
    CacheDropped,
    CommitsDropped,
    DeploymentObserved,
    DeploymentsDropped,
    Event,
    LayerCommitted,
    Payload,
    RequestsChanged,
    TransactionCommitted,
    TransactionFailed,
    TransactionInterrupted,
    TransactionPinned,
    TransactionPrepared,
    TransactionRefused,
    TransactionStarted,
    TransactionUnchanged,
    TransactionUnpinned,
)
from journal.identifiers import timestamp, uuid7
from journal.values import Package, PackageChange, Request
from projections.host import HostState
from tests.drafts import CONTEXT, START

names = st.sampled_from(["strace", "jq", "htop", "/usr/bin/vim", "pkgconfig(x)", "a;b", " lead", "back\\slash"])
requests = st.builds(Request, names) | st.builds(
    Request, st.sampled_from(["foo-1-1.noarch", "bar-2-1.x86_64"]), st.sampled_from(["a" * 64, "b" * 64])
)
some_requests = st.lists(requests, max_size=3, unique=True).map(tuple)
checksums = st.text("0123456789abcdef", min_size=64, max_size=64)
packages = st.builds(
    Package,
    st.builds("{}-{}-1.x86_64".format, st.sampled_from(["strace", "jq", "libjq"]), st.integers(1, 3)),
    st.none() | st.sampled_from(["c" * 64, "d" * 64]),
    st.sampled_from([None, "updates"]),
)
some_packages = st.lists(packages, max_size=3, unique=True).map(tuple)
replaced = st.lists(st.builds(PackageChange, packages, packages), max_size=1).map(tuple)
nevras = st.builds("{}-{}-1.x86_64".format, st.sampled_from(["a", "b", "c", "cc"]), st.integers(1, 12))
some_nevras = st.frozensets(nevras, max_size=8).map(sorted).map(tuple)
refspecs = st.sampled_from(["fedora:40/x86_64/silverblue", "local/branch"])

changes: st.SearchStrategy[Payload] = st.one_of(
    st.builds(
        RequestsChanged, added=some_requests, removed=some_requests, absorbed=some_requests, reinstated=some_requests
    ),
    st.builds(BaseChanged, refspecs, checksums, st.none() | st.just("40.1"), st.booleans(), some_nevras, some_nevras),
    st.builds(
        LayerCommitted,
        commit=checksums,
        base_commit=checksums,
        layer_key=st.none() | checksums,
        added=some_packages,
        removed=some_packages,
        upgraded=replaced,
    ),
    st.builds(
        DeploymentObserved,
        deployment=checksums.map("os-{}.0".format),
        commit=checksums,
        base_commit=checksums,
        refspec=refspecs,
        requested=some_requests,
        absorbed=some_requests,
        packages=some_packages,
        base_packages=some_nevras,
        origin=st.sampled_from(["", "[origin]\nrefspec=a:b\n\n[rpmostree]\ninitramfs=true\n"]),
    ),
    st.builds(TransactionPrepared, checksums, st.just("")),
    st.builds(TransactionPinned, st.integers(1, 4), st.none() | checksums.map("os-{}.0".format)),
    st.builds(TransactionUnpinned, st.integers(1, 4), st.none() | checksums.map("os-{}.0".format)),
    st.builds(DeploymentsDropped, st.lists(checksums.map("os-{}.0".format), min_size=1, max_size=2).map(tuple)),
    st.builds(CommitsDropped, refs=st.just(("base/x",)), objects=st.integers(0, 9)),
    st.builds(CacheDropped, st.just("metadata")),
)
outcomes: st.SearchStrategy[Payload] = st.one_of(
    st.builds(TransactionCommitted, st.none() | checksums.map("os-{}.1".format), st.booleans()),
    st.builds(TransactionFailed, st.just("repository-error"), st.just("unreachable")),
    st.builds(TransactionRefused, st.just("already-requested"), st.just("again")),
    st.builds(TransactionUnchanged, st.just("No change.")),
    st.builds(TransactionInterrupted),
)


@st.composite
def histories(draw: Callable[..., object]) -> list[Event]:
    """Events of up to eight transactions. Each is whole or without an outcome; refusals come in between."""
    scripts = draw(st.lists(st.tuples(st.lists(changes, max_size=4), st.none() | outcomes), min_size=1, max_size=8))
    queues = [
        [(number, TransactionStarted("verb", pid=number)), *((number, each) for each in body)]
        + ([(number, outcome)] if outcome else [])
        for number, (body, outcome) in enumerate(scripts, 1)  # type: ignore[arg-type,union-attr]
    ]
    uuids = {number: uuid7(START + number) for number in range(1, len(queues) + 1)}
    events: list[Event] = []
    running: list[list[tuple[int, Payload]]] = []
    waiting = queues
    while waiting or running:
        # The next one in line starts, or one of at most two that run goes on.
        start = waiting and (not running or (len(running) < 2 and draw(st.booleans())))
        queue = waiting.pop(0) if start else running[draw(st.integers(0, len(running) - 1))]
        if start:
            running.append(queue)
        number, payload = queue.pop(0)
        if not queue:
            running = [each for each in running if each]
        position = len(events) + 1
        events.append(_event(position, number, uuids[number], payload))
    return events


def _event(position: int, number: int, uuid: str, payload: Payload) -> Event:
    now = START + position * 1_000_000_000
    return Event(
        position=position,
        event_id=uuid7(now),
        transaction=number,
        transaction_uuid=uuid,
        type=payload.TYPE,
        version=payload.VERSION,
        recorded_at=timestamp(now),
        host=CONTEXT.host,
        actor=CONTEXT.actor,
        command_line=CONTEXT.command_line,
        tool_version=CONTEXT.tool_version,
        payload=payload,
    )


states = st.builds(
    HostState,
    refspec=refspecs,
    base_commit=checksums,
    pinned_base=st.booleans(),
    requested=some_requests.map(lambda each: tuple(sorted(each))),
    packages=some_packages.map(lambda each: tuple(sorted(each))),
    origin_extra=st.sampled_from([{}, {"rpmostree": {"initramfs": "true"}, "origin": {"custom-url": "x=y"}}]),
)
