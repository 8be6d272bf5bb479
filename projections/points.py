"""Points of the history: which position a transaction's number or an instant stands for, and the state there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from journal.events import Event
from journal.reader import Reader
from journal.store import Journal
from projections.errors import BadPoint, NoSuchPoint
from projections.host import HostState, Projection, fold

SNAPSHOT = "host/2"
"""Name of this fold's snapshots; raised whenever the fold or its state changes its meaning."""

SNAPSHOT_INTERVAL = 500

_TIMES = "2026-11-23T09:00:00Z, '2026-11-23 09:00', yesterday or '2 hours ago'."

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


def at(journal: Journal, position: int | None = None) -> Projection:
    """The projection at a position, by default at the end: the nearest snapshot, and the events since."""
    until = journal.position if position is None else position
    start = Projection()
    if kept := journal.snapshot(SNAPSHOT, until):
        try:
            start = msgspec.json.decode(kept[1], type=Projection)
        except msgspec.MsgspecError:
            start = Projection()  # a cache: what can't be read is folded anew
    return fold(journal.facts(start.position, until), start)


def keep_snapshot(journal: Journal, projection: Projection) -> None:
    """Keep a snapshot of this projection where the last one is far back."""
    kept = journal.snapshot(SNAPSHOT, projection.position)
    if projection.position - (kept[0] if kept else 0) >= SNAPSHOT_INTERVAL:
        journal.save_snapshot(SNAPSHOT, projection.position, msgspec.json.encode(projection).decode())


def is_number(text: str) -> bool:
    """Whether the text names a transaction, rather than an instant."""
    return text.isdecimal() or re.fullmatch(r"last(-\d+)?", text) is not None


def number_of(journal: Reader, text: str, last: int | None = None) -> int | None:
    """The transaction that `N`, `last` or `last-1` names, None if the text is none of them.

    last: the newest transaction when this was said, by default the newest of all.

    Raises:
        NoSuchPoint: there is no such transaction.
    """
    last = journal.transactions if last is None else last
    if text.isdecimal():
        number = int(text)
    elif match := re.fullmatch(r"last(?:-(\d+))?", text):
        number = last - int(match[1] or 0)
    else:
        return None
    if not 1 <= number <= last:
        known = f"the last one is {last}" if last else "there is none yet"
        raise NoSuchPoint(f"No transaction {text}: {known}")
    return number


def named(journal: Reader, text: str, last: int | None = None) -> int:
    """The transaction that a text names, as `number_of`.

    Raises:
        BadPoint: it names none. NoSuchPoint: there is no such transaction.
    """
    number = number_of(journal, text, last)
    if number is None:
        raise BadPoint(f"{text!r} is no transaction", hint="Say N, last or last-1.")
    return number


def position_of(journal: Journal, text: str, now: datetime, last: int | None = None) -> int:
    """The position that a transaction or an instant stands for: after it, or after the last one ended by then.

    Raises:
        BadPoint: the text is neither. NoSuchPoint: no such transaction, one without an end, or nothing ended by then.
    """
    number = number_of(journal, text, last)
    if number is not None:
        position = journal.end_of(number)
        if position is None:
            raise NoSuchPoint(f"Transaction {number} has no outcome yet")
        return position
    try:
        position = journal.end_by(instant(text, now))
    except BadPoint as error:
        raise BadPoint(
            f"{text!r} is neither a transaction nor a time", hint=f"Say N, last, last-1, {_TIMES}"
        ) from error
    if position is None:
        raise NoSuchPoint(f"The history begins after {text}")
    return position


def state_at(journal: Journal, text: str, now: datetime) -> tuple[int, HostState]:
    """The transaction that left the state at a point, as in `position_of`, and that state. `now` is the end.

    Raises:
        BadPoint, NoSuchPoint: as `position_of`; or there is no state yet.
    """
    position = journal.position if text == "now" else position_of(journal, text, now)
    host = at(journal, position).host
    if host is None or host.transaction is None:
        raise NoSuchPoint(f"The history has no state yet at {text}")
    return number_of(journal, text) or host.transaction, host


def instant(text: str, now: datetime) -> str:
    """An instant as the journal writes it: RFC 3339 in UTC with nanoseconds.

    Understood are ISO 8601 (local time where it names no offset; a date alone is its beginning), `@SECONDS`, `now`,
    `today`, `yesterday`, and `N seconds|minutes|hours|days|weeks ago`.

    Raises:
        BadPoint: anything else.
    """
    nanoseconds = ""
    if match := re.search(r"^@\d+\.(\d{1,9})$|\.(\d{7,9})(?!\d)", text.strip()):
        nanoseconds = match[1] or match[2]
    try:
        moment = _moment(text.strip(), now)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo) if now.tzinfo else moment.astimezone()
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:  # the latter two: of a year that no calendar has
        raise BadPoint(
            f"{text!r} is no time",
            hint=f"Say {_TIMES}",
        ) from error
    fraction = (nanoseconds or f"{moment.microsecond:06d}").ljust(9, "0")
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}.{fraction}Z"


def _moment(text: str, now: datetime) -> datetime:
    """The moment that `instant` is given, to the microsecond, in local time where it has no offset."""
    words = text.lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words in ("now", "today", "yesterday"):
        return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[words]
    if match := re.fullmatch(r"(\d+) ?(second|minute|hour|day|week)s?(?: ago)?", words):
        return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if match := re.fullmatch(r"@(\d+)(?:\.\d{1,9})?", words):
        return datetime.fromtimestamp(int(match[1]), UTC)
    # datetime knows microseconds; what the journal itself prints has nanoseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d{1,3}(?!\d)", r"\1", text))


def events_of(journal: Reader, transaction: int) -> list[Event]:
    """All events of one transaction."""
    return list(journal.transaction_events(transaction, transaction))
