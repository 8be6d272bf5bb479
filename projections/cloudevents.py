"""Events as CloudEvents 1.0, in their JSON format. Pure.

The data is the record as it is stored and hashed, byte for byte. Sources: cloudevents/spec.md, formats/json-format.md,
and its extensions sequence.md, recordedtime.md and authcontext.md.
"""

from __future__ import annotations

from typing import Any

import msgspec

from journal.events import Event

_SEQUENCE_DIGITS = 20
"""Sequence numbers compare as strings: as many digits as a 64-bit integer can have."""


def cloudevent(event: Event, record: str) -> dict[str, Any]:
    """One event, to be encoded as JSON. record: its text as stored."""
    actor = event.actor
    return {
        "specversion": "1.0",
        "id": event.event_id,
        "source": f"urn:layer:host:{event.host.machine_id or 'unknown'}",
        "type": f"layer.{event.type}",
        "subject": f"transaction/{event.transaction}",
        "time": event.recorded_at,
        "datacontenttype": "application/json",
        "dataschema": f"urn:layer:event:{event.type}:{event.version}",
        "sequence": f"{event.position:0{_SEQUENCE_DIGITS}}",
        "recordedtime": event.recorded_at,
        "authtype": "user" if actor.uid is not None else "unknown",
        "authid": str(actor.login_user or actor.user or actor.uid or "unknown"),
        "data": msgspec.Raw(record.encode()),
    }
