"""Drafts of events, with a clock and a host identity of the tests' own."""

from __future__ import annotations

from journal.events import Actor, Context, HostIdentity, Payload
from journal.identifiers import timestamp, uuid7
from journal.store import Draft

CONTEXT = Context(HostIdentity("0" * 32, "1" * 32), Actor(uid=0, user="root"), "layer pkg-add strace", "0.1.0")
START = 1_750_000_000_000_000_000


class TickingClock:
    """A clock that goes on by one second with each look at it."""

    def __init__(self, start: int = START) -> None:
        self.now = start

    def __call__(self) -> int:
        self.now += 1_000_000_000
        return self.now


class DraftMaker:
    """Makes drafts, one second apart."""

    def __init__(self) -> None:
        self.clock = TickingClock()

    def uuid(self) -> str:
        return uuid7(self.clock())

    def __call__(self, uuid: str, payload: Payload) -> Draft:
        now = self.clock()
        return Draft(uuid7(now), uuid, timestamp(now), CONTEXT, payload)
