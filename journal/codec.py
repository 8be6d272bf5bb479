"""Events to stored records and back.

The record is the JSON text that is stored, hashed and shipped; it is never encoded again. A payload recorded in an
earlier version of its schema is brought up to date by its upcasters, one step a version, before it is converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from journal.errors import JournalCorrupt
from journal.events import PAYLOADS, Actor, Context, Event, Fact, HostIdentity, Payload, UnknownEvent

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(type, version) -> the step that makes a payload of that version one of the next version."""

_TYPES = {payload.TYPE: payload for payload in PAYLOADS}


class _Envelope(msgspec.Struct, frozen=True):
    position: int
    event_id: str
    transaction: int
    transaction_uuid: str
    type: str
    version: int
    recorded_at: str
    host: HostIdentity
    actor: Actor
    command_line: str
    tool_version: str
    payload: msgspec.Raw


class _Outline(msgspec.Struct, frozen=True):
    """Of an envelope what a `Fact` has: half of the time to decode one goes into the rest."""

    position: int
    transaction: int
    transaction_uuid: str
    type: str
    version: int
    tool_version: str
    payload: msgspec.Raw


_encoder = msgspec.json.Encoder()
_envelopes = msgspec.json.Decoder(_Envelope)
_outlines = msgspec.json.Decoder(_Outline)
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
    envelope = _Envelope(
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
    return _encoder.encode(envelope).decode()


def decode(record: str | bytes, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS) -> Event:
    """The event of a stored record.

    Raises:
        JournalCorrupt: the record is no envelope, or its payload is not what its type and version say.
    """
    try:
        envelope = _envelopes.decode(record)
        payload = _decode_payload(envelope, upcasters)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_record(record, error) from error
    return Event(
        envelope.position,
        envelope.event_id,
        envelope.transaction,
        envelope.transaction_uuid,
        envelope.type,
        envelope.version,
        envelope.recorded_at,
        envelope.host,
        envelope.actor,
        envelope.command_line,
        envelope.tool_version,
        payload,
    )


def decode_fact(record: str | bytes, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS) -> Fact:
    """As `decode`, without who, where and when, in two thirds of the time."""
    try:
        outline = _outlines.decode(record)
        payload = _decode_payload(outline, upcasters)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_record(record, error) from error
    return Fact(
        outline.position,
        outline.transaction,
        outline.transaction_uuid,
        outline.type,
        outline.version,
        outline.tool_version,
        payload,
    )


def _no_record(record: str | bytes, error: Exception) -> JournalCorrupt:
    excerpt = record if isinstance(record, str) else record.decode(errors="replace")
    return JournalCorrupt(f"Not a record of the journal: {error}: {excerpt[:120]}")


def _decode_payload(envelope: _Envelope | _Outline, upcasters: Mapping[tuple[str, int], Upcaster]) -> Payload:
    known = _TYPES.get(envelope.type)
    if known is None or envelope.version > known.VERSION:
        return UnknownEvent(envelope.payload)
    if envelope.version == known.VERSION:
        return _payloads[envelope.type].decode(envelope.payload)
    fields = msgspec.json.decode(envelope.payload, type=dict[str, Any])
    for version in range(envelope.version, known.VERSION):
        step = upcasters.get((envelope.type, version))
        if step is None:
            return UnknownEvent(envelope.payload)
        fields = step(fields)
    return msgspec.convert(fields, known)
