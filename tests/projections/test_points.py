"""Points of the history, and the state there, through a real journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.events import Event
from journal.store import Draft, Journal
from projections import points
from projections.errors import BadPoint, NoSuchPoint
from projections.host import Projection, fold
from tests.drafts import CONTEXT
from tests.projections.strategies import histories

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "layer/journal.db"


def stored(path: Path, events: list[Event]) -> Journal:
    journal = Journal.open_for_append(path)
    for event in events:
        journal.append([Draft(event.event_id, event.transaction_uuid, event.recorded_at, CONTEXT, event.payload)])
    return journal


@settings(max_examples=15)
@given(histories(), st.data())
def test_as_of_any_position_is_the_fold_up_to_it_with_and_without_snapshots(
    events: list[Event], data: st.DataObject
) -> None:
    with TemporaryDirectory() as directory:
        journal = stored(Path(directory, "layer/journal.db"), events)
        assert list(journal.events()) == events
        expected = [fold(events[:n]) for n in range(len(events) + 1)]
        assert [points.at(journal, n) for n in range(len(events) + 1)] == expected
        kept = data.draw(st.integers(1, len(events)))
        text = msgspec.json.encode(expected[kept]).decode()
        journal.save_snapshot(points.SNAPSHOT, kept, text)
        assert [points.at(journal, n) for n in range(len(events) + 1)] == expected
        journal.close()


@settings(max_examples=10)
@given(histories())
def test_a_snapshot_that_cannot_be_read_costs_nothing_but_time(events: list[Event]) -> None:
    with TemporaryDirectory() as directory:
        journal = stored(Path(directory, "layer/journal.db"), events)
        journal.save_snapshot(points.SNAPSHOT, 1, '{"position": "broken"}')
        assert points.at(journal) == fold(events)
        journal.close()


def test_nothing_recorded_folds_to_nothing(path: Path) -> None:
    assert points.at(Journal.open_for_append(path)) == Projection()


@settings(max_examples=10)
@given(histories())
def test_numbers_and_instants_lead_to_the_end_of_a_transaction(events: list[Event]) -> None:
    with TemporaryDirectory() as directory:
        journal = stored(Path(directory, "layer/journal.db"), events)
        ends = {e.transaction: e for e in events if journal.end_of(e.transaction) == e.position}
        for number, event in ends.items():
            assert points.position_of(journal, str(number), NOW) == event.position
            assert points.position_of(journal, event.recorded_at, NOW) == event.position
        last = max(e.transaction for e in events)
        assert points.number_of(journal, "last") == last
        if last > 1:
            assert points.number_of(journal, "last-1") == last - 1
        for wrong in ("0", str(last + 1), f"last-{last}"):
            with pytest.raises(NoSuchPoint):
                points.number_of(journal, wrong)
        with pytest.raises(NoSuchPoint):
            points.position_of(journal, "2001-01-01", NOW)
        journal.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00.000000000Z"),
        ("2026-11-23 09:00", "2026-11-23T08:00:00.000000000Z"),
        ("2026-11-23", "2026-11-22T23:00:00.000000000Z"),
        ("2026-11-23T09:00:00.123456789Z", "2026-11-23T09:00:00.123456789Z"),
        ("2026-11-23T09:00:00.5+02:00", "2026-11-23T07:00:00.500000000Z"),
        ("now", "2026-11-23T08:30:00.000000000Z"),
        ("yesterday", "2026-11-21T23:00:00.000000000Z"),
        ("2 hours ago", "2026-11-23T06:30:00.000000000Z"),
        ("@1750000000", "2025-06-15T15:06:40.000000000Z"),
        ("@1750000000.25", "2025-06-15T15:06:40.250000000Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000000Z"),
    ],
)
def test_an_instant_may_be_said_in_many_ways(text: str, expected: str) -> None:
    assert points.instant(text, NOW) == expected


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)))
def test_what_the_journal_prints_is_understood_as_it_stands(moment: datetime) -> None:
    text = f"{moment:%Y-%m-%dT%H:%M:%S.%f}789Z".replace("789Z", "001Z")
    assert points.instant(text, NOW.astimezone(UTC)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow-ish", "32", "2026-13-01", "last"),
        *("@99999999999999999999", "@9999999999999", "99999999999999 days ago", "4000 weeks ago years"),
        *("800000 days ago", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01"),
    ],
)
def test_what_is_no_instant_is_a_usage_error(text: str) -> None:
    if text == "32":
        text = "32 moons ago"
    with pytest.raises(BadPoint) as caught:
        points.instant(text, NOW)
    assert caught.value.exit_code == 2
