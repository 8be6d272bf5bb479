"""What a check of a journal finds."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be. kind: what, for scripts. position, transaction: of the first event."""

    kind: str
    message: str
    position: int | None = None
    transaction: int | None = None


def worded(first: int, last: int) -> str:
    """The events of these positions, in words."""
    return f"Event {first}" if first == last else f"Events {first} to {last}"
