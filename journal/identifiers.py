"""Identifiers and instants as they stand in the record: UUIDv7 (RFC 9562) and RFC 3339 in UTC with nanoseconds."""

from __future__ import annotations

import os
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in nanoseconds since the epoch, UTC."""

    def __call__(self) -> int: ...


system_clock: Clock = time.time_ns


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits, so that text order is time order."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}Z"


def uuid7(nanoseconds: int) -> str:
    """A UUIDv7 of this instant: 48 bits of milliseconds, 12 bits of the fraction (RFC 9562 section 6.2, method 3),
    62 random bits."""
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    random = int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64 | 0b10 << 62 | random
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
