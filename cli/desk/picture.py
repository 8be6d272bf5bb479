"""What the first page shows: a few figures, the days of the history as columns, and the last transactions.

Out of the stable views alone. The columns are drawn as SVG by the template; here is where each part of them goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Ask = Callable[[str], Awaitable[Sequence[Any]]]
"""Answers a query with its rows, whose columns go by name."""

Count = tuple[str, str, int]
"""A day (ISO 8601), an outcome, and how many transactions of that day ended so."""

WIDTH, HEIGHT = 1000, 120
"""Of the drawing, in its own units."""

OUTCOMES = ("committed", "unchanged", "refused", "failed", "interrupted", "running")
_DAYS_AT_MOST = 90
_GAP = 0.25  # of a column's width


@dataclass(frozen=True, slots=True)
class Bar:
    """Part of a day's column: its place in the drawing, what it stands for, and the words for it."""

    x: float
    y: float
    width: float
    height: float
    outcome: str
    title: str


async def picture(ask: Ask) -> dict[str, Any]:
    """All that the first page's template needs."""
    (figures,) = await ask(
        "SELECT (SELECT count(*) FROM history) AS transactions,"
        " (SELECT count(*) FROM events) AS events,"
        " (SELECT count(*) FROM failures) AS failures,"
        " (SELECT count(*) FROM actors) AS actors,"
        " (SELECT count(*) FROM presence WHERE part = 'layer' AND until IS NULL) AS layered,"
        " (SELECT count(*) FROM presence WHERE part = 'base' AND until IS NULL) AS base"
    )
    days = await ask(
        "SELECT substr(started_at, 1, 10) AS day, outcome, count(*) AS number FROM history GROUP BY day, outcome"
    )
    latest = await ask(
        "SELECT transaction_number, started_at, verb, arguments, outcome, message, error_message, refspec,"
        " coalesce(invoked_by, login_user, user) AS who FROM history ORDER BY transaction_number DESC LIMIT 12"
    )
    layered = await ask(
        "SELECT nevra, since, transaction_number FROM presence WHERE part = 'layer' AND until IS NULL"
        " ORDER BY nevra LIMIT 60"
    )
    counts = latest_days([(each["day"], each["outcome"], each["number"]) for each in days])
    return {
        "figures": dict(figures),
        "bars": columns(counts),
        "span": (min(day for day, _, _ in counts), max(day for day, _, _ in counts)) if counts else None,
        "outcomes": [each for each in OUTCOMES if any(each == outcome for _, outcome, _ in counts)],
        "latest": latest,
        "layered": layered,
        "width": WIDTH,
        "height": HEIGHT,
    }


def latest_days(counts: Sequence[Count]) -> list[Count]:
    """Those of the last days that there is room for. Pure."""
    if not counts:
        return []
    last = date.fromisoformat(max(day for day, _, _ in counts))
    first = (last - timedelta(days=_DAYS_AT_MOST - 1)).isoformat()
    return [each for each in counts if each[0] >= first]


def columns(counts: Sequence[Count]) -> list[Bar]:
    """The days as columns, each outcome a part of its day's. Pure."""
    if not counts:
        return []
    by_day: dict[date, dict[str, int]] = {}
    for day, outcome, number in counts:
        by_day.setdefault(date.fromisoformat(day), {})[outcome] = number
    begin, end = min(by_day), max(by_day)
    step = min(WIDTH / ((end - begin).days + 1), WIDTH / 12)
    scale = HEIGHT / max(sum(each.values()) for each in by_day.values())
    bars = []
    for moment, outcomes in sorted(by_day.items()):
        x, top = (moment - begin).days * step, float(HEIGHT)
        for outcome in filter(outcomes.get, OUTCOMES):
            height = outcomes[outcome] * scale
            top -= height
            title = f"{moment}: {outcomes[outcome]} {outcome}"
            bars.append(Bar(round(x, 2), round(top, 2), round(step * (1 - _GAP), 2), round(height, 2), outcome, title))
    return bars
