"""The documents that `--json` prints, where they are not a projection's own. Their keys are a contract.

docs/schemas has the JSON Schema of each, written from these types.
"""

from __future__ import annotations

from typing import Any

import msgspec

from projections.transactions import Transaction


class Deployment(msgspec.Struct, frozen=True):
    """A deployment of the stateroot. All lists are sorted.

    id: STATEROOT-COMMIT.SERIAL, None for a state of the past that was never deployed. requested, absorbed: what was
    asked for, and what of it the base provides. requested_local: NEVRAs of local RPMs. layered: NEVRAs. transaction:
    number of the one that made it, None for another tool's. pinned_base: until the next upgrade. base_timestamp: when
    the base commit was made, RFC 3339.
    """

    id: str | None
    commit: str | None
    base_commit: str | None
    refspec: str | None
    version: str | None
    booted: bool
    staged: bool
    pinned: bool
    requested: tuple[str, ...]
    requested_local: tuple[str, ...]
    absorbed: tuple[str, ...]
    layered: tuple[str, ...]
    transaction: int | None
    pinned_base: bool
    base_timestamp: str | None


class JournalHead(msgspec.Struct, frozen=True):
    """How far the journal reaches. root_hash: RFC 6962, over its records, hex."""

    path: str
    events: int
    transactions: int
    root_hash: str


class Status(msgspec.Struct, frozen=True):
    """The deployments of a stateroot, the one to be booted next first; or its head as of a point of the history."""

    stateroot: str
    deployments: tuple[Deployment, ...]
    journal: JournalHead


class ShownEvent(msgspec.Struct, frozen=True):
    """An event of a transaction; docs/schemas/event.json tells of payloads by their type."""

    position: int
    event_id: str
    type: str
    version: int
    recorded_at: str
    payload: Any


class Shown(Transaction, frozen=True, kw_only=True):
    """A transaction whole: as the history tells it, and its events."""

    events: tuple[ShownEvent, ...]


class Rehearsed(Transaction, frozen=True, kw_only=True):
    """What a dry run would come to, with the keys of a transaction; null what only a recorded one has."""

    transaction: int | None = None  # type: ignore[assignment]
    uuid: str | None = None  # type: ignore[assignment]
    outcome: str | None = None  # type: ignore[assignment]
    started_at: str | None = None  # type: ignore[assignment]
    events: tuple[ShownEvent, ...] = ()
    dry_run: bool = True


class RepositoryMetadata(msgspec.Struct, frozen=True):
    """The metadata of an enabled repository. generated: RFC 3339. packages: how many."""

    id: str
    generated: str
    packages: int


class ProvedRecord(msgspec.Struct, frozen=True):
    """A record as it is stored, and the proof that the signed journal has it (C2SP tlog-proof)."""

    position: int
    record: str
    proof: str


class ProvedExtension(msgspec.Struct, frozen=True):
    """The proof that the journal under a signed head over `events` events begins with an older one over `old`."""

    old: int
    events: int
    proof: str


class CheckedProof(msgspec.Struct, frozen=True):
    """A proof that holds, for the log of this origin. events: under its checkpoint.

    position: of the record, if it is of inclusion. old: events of the older checkpoint, if it is of consistency.
    """

    origin: str
    events: int
    position: int | None
    old: int | None


class SignedHead(msgspec.Struct, frozen=True):
    """The head of the journal. origin: name of the log. root_hash: RFC 6962, over these events, hex.

    key: the log's verifier key. checkpoint: the signed note; None where nothing was to be signed. old: events of the
    checkpoint that it was held against and goes on from.
    """

    origin: str
    events: int
    root_hash: str
    key: str
    checkpoint: str | None = None
    old: int | None = None


class Error(msgspec.Struct, frozen=True):
    """Why there is no other document. kind: the error's id."""

    kind: str
    message: str
    hint: str | None


class Failed(msgspec.Struct, frozen=True):
    """What is printed where a verb fails before it is a transaction."""

    error: Error
