"""The auditor's SQL says of any history what the projections say of it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.events import (
    BaseChanged,
    DeploymentObserved,
    Event,
    LayerCommitted,
    Payload,
    RequestsChanged,
    TransactionCommitted,
    TransactionStarted,
)
from journal.store import Draft, Journal
from journal.values import Package, PackageChange
from projections.host import fold
from projections.transactions import Transaction, tell
from tests.drafts import CONTEXT, DraftMaker
from tests.projections.strategies import histories


@contextmanager
def journal_of(appends: Iterable[list[Draft]]) -> Iterator[tuple[Journal, sqlite3.Connection]]:
    """A journal with these appended, and a bare connection that reads it."""
    # In memory where that can be: nothing here is about what outlives a crash.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        path = Path(directory, "layer/journal.db")
        journal = Journal.open_for_append(path)
        for drafts in appends:
            journal.append(drafts)
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        yield journal, connection
        connection.close()
        journal.close()


def queried(events: Iterable[Event], *queries: str) -> list[list[sqlite3.Row]]:
    """What a bare connection answers on a journal of these events."""
    appends = (
        [Draft(event.event_id, event.transaction_uuid, event.recorded_at, CONTEXT, event.payload)] for event in events
    )
    with journal_of(appends) as (_, connection):
        return [connection.execute(query).fetchall() for query in queries]


def by_transaction(events: Iterable[Event]) -> list[Transaction]:
    ordered = sorted(events, key=lambda event: (event.transaction, event.position))
    return [tell(list(group)) for _, group in groupby(ordered, key=lambda event: event.transaction)]


@settings(max_examples=25)
@given(histories())
def test_history_is_the_transactions_as_they_are_told(events: list[Event]) -> None:
    told = by_transaction(events)
    (rows,) = queried(events, "SELECT * FROM history ORDER BY transaction_number")
    assert [
        (
            row["transaction_number"],
            row["transaction_uuid"],
            row["verb"],
            row["outcome"],
            bool(row["recovered"]),
            row["started_at"],
            row["finished_at"],
            row["error_kind"],
            row["error_message"],
            row["refspec"],
            row["base_commit"],
            row["layered_commit"],
        )
        for row in rows
    ] == [
        (
            each.transaction,
            each.uuid,
            each.verb,
            each.outcome,
            each.recovered,
            each.started_at,
            each.finished_at,
            each.error.kind if each.error else None,
            each.error.message if each.error else None,
            each.refspec,
            each.base_commit,
            each.layered_commit,
        )
        for each in told
    ]


@settings(max_examples=25)
@given(histories())
def test_packages_and_requests_are_the_changes_that_took_effect(events: list[Event]) -> None:
    committed = {event.transaction for event in events if isinstance(event.payload, TransactionCommitted)}
    effective = [event for event in events if event.transaction in committed]
    layers = [event for event in effective if isinstance(event.payload, LayerCommitted)]
    expected = {
        (event.position, change, nevra, previous)
        for event in layers
        for change, nevra, previous in (
            *(("added", each.nevra, None) for each in event.payload.added),
            *(("removed", each.nevra, None) for each in event.payload.removed),
            *(("upgraded", each.new.nevra, each.old.nevra) for each in event.payload.upgraded),
        )
    }
    expected |= {
        (event.position, change, nevra, None)
        for event in effective
        if isinstance(event.payload, BaseChanged)
        for change, nevras in (("added", event.payload.packages_added), ("removed", event.payload.packages_removed))
        for nevra in nevras
    }
    requests = {
        (event.position, change, each.spec, each.sha256)
        for event in effective
        if isinstance(event.payload, RequestsChanged)
        for change in ("added", "removed", "absorbed", "reinstated")
        for each in getattr(event.payload, change)
    }
    found, asked = queried(
        events,
        "SELECT position, change, nevra, previous FROM packages WHERE change <> 'observed'",
        "SELECT position, change, request, sha256 FROM requested WHERE position IN"
        " (SELECT position FROM events WHERE type = 'requests-changed')",
    )
    assert {tuple(row) for row in found} == expected
    assert {tuple(row) for row in asked} == requests


@settings(max_examples=15)
@given(histories())
def test_failures_and_actors_count_what_the_history_counts(events: list[Event]) -> None:
    told = by_transaction(events)
    wrong = [each for each in told if each.outcome in ("failed", "refused", "interrupted")]
    failures, actors = queried(events, "SELECT * FROM failures ORDER BY transaction_number", "SELECT * FROM actors")
    assert [(row["transaction_number"], row["outcome"], row["kind"], row["message"]) for row in failures] == [
        (each.transaction, each.outcome, *(msgspec.structs.astuple(each.error) if each.error else (None, None)))
        for each in wrong
    ]
    assert [(row["user"], row["transactions"], row["committed"], row["failures"]) for row in actors] == [
        ("root", len(told), sum(each.outcome == "committed" for each in told), len(wrong))
    ]


NEVRAS = ("a-1-1.x86_64", "a-2-1.x86_64", "b-c-1:1.0~rc1-1.noarch", "d-1-1.x86_64")
sets = st.sets(st.sampled_from(NEVRAS)).map(sorted)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), sets, sets), min_size=1, max_size=6))
def test_presence_is_what_the_fold_has_at_each_end_of_a_transaction(
    steps: list[tuple[bool, list[str], list[str]]],
) -> None:
    """Each step: whether another tool deploys, and the layered and the base's packages from then on."""
    draft = DraftMaker()
    drafts, layered, base = [], [], []
    for foreign, next_layered, next_base in steps:
        changes = _observed(next_layered, next_base) if foreign else _changed(layered, next_layered, base, next_base)
        uuid = draft.uuid()
        drafts.append([draft(uuid, each) for each in (TransactionStarted("verb"), *changes, TransactionCommitted())])
        layered, base = next_layered, next_base
    with journal_of(drafts) as (journal, connection):
        for number in range(1, len(steps) + 1):
            state = fold(journal.events(until=journal.end_of(number))).host
            there = connection.execute(
                "SELECT part, nevra FROM presence WHERE transaction_number <= ?1"
                " AND (until_transaction_number IS NULL OR until_transaction_number > ?1)",
                (number,),
            )
            assert sorted(map(tuple, there)) == [
                *(("base", nevra) for nevra in state.base_packages),
                *(("layer", package.nevra) for package in state.packages),
            ]


def test_a_package_is_named_without_version_release_and_architecture() -> None:
    draft = DraftMaker()
    uuid = draft.uuid()
    changes = (TransactionStarted("adopt"), *_observed(NEVRAS, ()), TransactionCommitted())
    with journal_of([[draft(uuid, each) for each in changes]]) as (_, connection):
        assert [tuple(row) for row in connection.execute("SELECT name FROM packages ORDER BY nevra")] == [
            ("a",),
            ("a",),
            ("b-c",),
            ("d",),
        ]


def _observed(layered: Iterable[str], base: Iterable[str]) -> tuple[Payload, ...]:
    packages = tuple(map(Package, layered))
    return (DeploymentObserved("os-x.0", "b" * 64, "c" * 64, "r:b", packages=packages, base_packages=tuple(base)),)


def _changed(
    layered: Iterable[str], next_layered: Iterable[str], base: Iterable[str], next_base: Iterable[str]
) -> tuple[Payload, ...]:
    gone, new = sorted({*layered} - {*next_layered}), sorted({*next_layered} - {*layered})
    pairs = [(old, each) for old, each in zip(gone[:1], new[:1], strict=False)]
    return (
        BaseChanged(
            "r:b",
            "c" * 64,
            packages_added=tuple(sorted({*next_base} - {*base})),
            packages_removed=tuple(sorted({*base} - {*next_base})),
        ),
        LayerCommitted(
            "d" * 64,
            "c" * 64,
            upgraded=tuple(PackageChange(Package(old), Package(each)) for old, each in pairs),
            removed=tuple(map(Package, gone[len(pairs) :])),
            added=tuple(map(Package, new[len(pairs) :])),
        ),
    )
