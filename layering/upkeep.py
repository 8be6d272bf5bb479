"""What a verb does to a host that takes no resolving and no new deployment: pins, and what is to be dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from journal.events import Payload


@dataclass(frozen=True)
class Upkeep:
    """One such thing, decided upon.

    intent: recorded before anything is done; it names what a recovery looks at, see `sync.recovery`. carry_out: does
    it, and gives what came of it, which is recorded together with the outcome; it can be cut off anywhere and be done
    again. None where nothing but the journal changes. foreseen: what a dry run tells of what would come of it.
    message: what to say where nothing was to be done.
    """

    intent: tuple[Payload, ...] = ()
    carry_out: Callable[[], tuple[Payload, ...]] | None = None
    foreseen: tuple[Payload, ...] = ()
    message: str = "No change."
    notes: tuple[str, ...] = ()
