"""Events to stored records and back.

The record is the JSON text that is stored, hashed and shipped; it is never encoded again. A payload recorded in an
earlier version of its schema is brought up to date by its upcasters, one step a version, before it is converted.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from journal.errors import JournalCorrupt
from journal.events import PAYLOADS, Envelope, Event, Fact, Payload, UnknownEvent
from journal.values import Context

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(type, version) -> the step that makes a payload of that version one of the next version."""

_TYPES = {payload.TYPE: payload for payload in PAYLOADS}


class _Record(Envelope, frozen=True):
    payload: msgspec.Raw


_AT_ONCE = 64
"""Records that are decoded in one call: some 50 kB, and no more than that twice where they are large."""

_encoder = msgspec.json.Encoder()
_records = msgspec.json.Decoder(_Record)
_payloads = {payload.TYPE: msgspec.json.Decoder(payload) for payload in PAYLOADS}


def encode(
    payload: Payload,
    *,
    position: int,
    event_id: str,
    transaction: int,
    transaction_uuid: str,
    recorded_at: str,
    context: Context,
) -> str:
    """The record of one event, to be stored as it stands."""
    record = _Record(
        position=position,
        event_id=event_id,
        transaction=transaction,
        transaction_uuid=transaction_uuid,
        type=payload.TYPE,
        version=payload.VERSION,
        recorded_at=recorded_at,
        host=context.host,
        actor=context.actor,
        command_line=context.command_line,
        tool_version=context.tool_version,
        payload=msgspec.Raw(_encoder.encode(payload)),
    )
    return _encoder.encode(record).decode()


def decode(record: str | bytes, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS) -> Event:
    """The event of a stored record.

    Raises:
        JournalCorrupt: the record is no envelope, or its payload is not what its type and version say.
    """
    try:
        decoded = _records.decode(record)
        payload = _decode_payload(decoded, upcasters)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_record(record, error) from error
    return Event(
        decoded.position,
        decoded.event_id,
        decoded.transaction,
        decoded.transaction_uuid,
        decoded.type,
        decoded.version,
        decoded.recorded_at,
        decoded.host,
        decoded.actor,
        decoded.command_line,
        decoded.tool_version,
        payload,
    )


def decode_facts(records: Sequence[bytes]) -> Iterator[Fact | Event]:
    """As `decode` of each, in a third of the time: facts, where types and versions are the present ones.

    records: in UTF-8.

    Raises:
        JournalCorrupt: as `decode`, once those before were given.
    """
    for start in range(0, len(records), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        try:
            facts = _facts().decode_lines(b"\n".join(some))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            facts = []
        # Else one is of an earlier version perhaps, or of a type that is not known; or `decode` says what is wrong.
        yield from facts if len(facts) == len(some) else map(decode, some)


@functools.cache
def _facts() -> msgspec.json.Decoder[Fact]:
    """One step from a record to its payload, for the types in their present versions."""
    kinds = [
        msgspec.defstruct(
            payload.__name__,
            [("version", Literal[payload.VERSION]), ("payload", payload)],
            bases=(Fact,),
            tag_field="type",
            tag=name,
        )
        for name, payload in _TYPES.items()
    ]
    return msgspec.json.Decoder(functools.reduce(operator.or_, kinds))


def _no_record(record: str | bytes, error: Exception) -> JournalCorrupt:
    excerpt = record if isinstance(record, str) else record.decode(errors="replace")
    return JournalCorrupt(f"Not a record of the journal: {error}: {excerpt[:120]}")


def _decode_payload(record: _Record, upcasters: Mapping[tuple[str, int], Upcaster]) -> Payload:
    known = _TYPES.get(record.type)
    if known is None or record.version > known.VERSION:
        return UnknownEvent(record.payload)
    if record.version == known.VERSION:
        return _payloads[record.type].decode(record.payload)
    fields = msgspec.json.decode(record.payload, type=dict[str, Any])
    for version in range(record.version, known.VERSION):
        step = upcasters.get((record.type, version))
        if step is None:
            return UnknownEvent(record.payload)
        fields = step(fields)
    return msgspec.convert(fields, known)
