"""The journal in the formats that other programs take in: records in, lines of text out. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from journal.codec import decode
from journal.events import OUTCOMES, Event
from journal.values import Actor, HostIdentity
from projections.cloudevents import cloudevent
from projections.ocsf import ocsf

Export = Callable[[Iterable[str]], Iterator[str]]
"""From records, in the order of their positions, to lines without their ends."""

_ENVELOPE = ("position", "event_id", "transaction", "transaction_uuid", "type", "version", "recorded_at")
_HOST, _ACTOR = HostIdentity.__struct_fields__, Actor.__struct_fields__
_LAST = ("command_line", "tool_version", "payload")


class _Payload(msgspec.Struct):
    payload: msgspec.Raw


_payloads = msgspec.json.Decoder(_Payload)


def json_lines(records: Iterable[str]) -> Iterator[str]:
    """The records themselves: what was hashed, byte for byte."""
    yield from records


def cloud_events(records: Iterable[str]) -> Iterator[str]:
    """One CloudEvent a line."""
    for record in records:
        yield msgspec.json.encode(cloudevent(decode(record), record)).decode()


def ocsf_events(records: Iterable[str]) -> Iterator[str]:
    """OCSF events, one a line; those of a transaction follow each other, once it has ended."""
    running: dict[int, list[Event]] = {}
    for event in map(decode, records):
        running.setdefault(event.transaction, []).append(event)
        if isinstance(event.payload, OUTCOMES):
            for each in ocsf(running.pop(event.transaction)):
                yield msgspec.json.encode(each).decode()


def csv_rows(records: Iterable[str]) -> Iterator[str]:
    """RFC 4180, with a header: one row an event, its payload as JSON in the last column."""
    yield _row((*_ENVELOPE, *_HOST, *_ACTOR, *_LAST))
    for record in records:
        event = decode(record)
        values = [getattr(event, name) for name in _ENVELOPE]
        values += [*msgspec.structs.astuple(event.host), *msgspec.structs.astuple(event.actor)]
        values += [event.command_line, event.tool_version, bytes(_payloads.decode(record).payload).decode()]
        yield _row(values)


EXPORTS: Mapping[str, Export] = {
    "jsonl": json_lines,
    "cloudevents": cloud_events,
    "ocsf": ocsf_events,
    "csv": csv_rows,
}
"""The formats, by the names that the command line has for them."""


def _row(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
