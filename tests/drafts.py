"""Drafts of events, with a clock and a host identity of the tests' own."""

from __future__ import annotations

from pathlib import Path

from journal.events import (
    DeploymentObserved,
    LayerCommitted,
    Payload,
    RequestsChanged,
    TransactionCommitted,
    TransactionRefused,
    TransactionStarted,
)
from journal.identifiers import timestamp, uuid7
from journal.store import Draft, Journal
from journal.values import Actor, Context, HostIdentity, Package, Request

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


STRACE = Package("strace-6.1-1.x86_64", "a" * 64, "updates", "0123456789abcdef")


def short_history(path: Path, draft: DraftMaker) -> None:
    """A journal of an adoption, an addition and a refusal: three transactions, nine events."""
    journal = Journal.open_for_append(path)
    for payloads in (
        (
            TransactionStarted("adopt"),
            DeploymentObserved("os-c.0", "c" * 64, "c" * 64, "r:b", base_packages=("zlib-1.3-1.x86_64",)),
            TransactionCommitted(),
        ),
        (
            TransactionStarted("pkg-add", ("strace",), message="CHG-1042: look at syscalls"),
            RequestsChanged(added=(Request("strace"),)),
            LayerCommitted("d" * 64, "c" * 64, added=(STRACE,)),
            TransactionCommitted("os-d.0"),
        ),
        (
            TransactionStarted("pkg-add", ("nosuch",)),
            TransactionRefused("packages-not-found", "Packages not found: nosuch"),
        ),
    ):
        uuid = draft.uuid()
        journal.append([draft(uuid, each) for each in payloads])
        journal.update_search()
    journal.close()
