"""The types of events, and the envelope that each is recorded in.

An event is one fact. Its type is a stable string, never an import path; fields are added with a default or not at
all, and never change their meaning. What a payload looked like in an earlier version is brought up to date by
`journal.codec`, one step a version.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from journal.values import Actor, HostIdentity, Package, PackageChange, Request, Summary


class Payload(msgspec.Struct, frozen=True):
    """What an event says, beside its envelope."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1


class TransactionStarted(Payload, frozen=True):
    """A changing verb set out. Durable before its first side effect."""

    TYPE = "transaction-started"

    verb: str
    arguments: tuple[str, ...] = ()
    options: dict[str, str] = {}
    message: str | None = None
    pid: int | None = None
    before: Summary = Summary()


class DeploymentObserved(Payload, frozen=True):
    """A deployment that this journal did not make was found at the head of the stateroot; it *is* the state now.

    deployment: STATEROOT-COMMIT.SERIAL. origin: its text as found. packages: the layered set, where there is one.
    absorbed: requests that the deployment's origin cannot name, carried over where the journal knows them.
    base_packages: NEVRAs of the base. content: as in `LayerCommitted`.
    """

    TYPE = "deployment-observed"

    deployment: str
    commit: str
    base_commit: str
    refspec: str | None
    version: str | None = None
    pinned_base: bool = False
    requested: tuple[Request, ...] = ()
    absorbed: tuple[Request, ...] = ()
    packages: tuple[Package, ...] = ()
    layer_key: str | None = None
    origin: str = ""
    transaction_uuid: str | None = None
    base_packages: tuple[str, ...] = ()
    content: str | None = None


class RequestsChanged(Payload, frozen=True):
    """The requested set changed.

    added: newly asked for. removed: no longer wanted. absorbed: the base provides it (newly, or from the start).
    reinstated: the base no longer does. A request that is added while the base has it is in `added` and `absorbed`.
    """

    TYPE = "requests-changed"

    added: tuple[Request, ...] = ()
    removed: tuple[Request, ...] = ()
    absorbed: tuple[Request, ...] = ()
    reinstated: tuple[Request, ...] = ()


class BaseChanged(Payload, frozen=True):
    """The host follows another refspec, or another commit of it.

    pinned_base: until the next upgrade. packages_added, packages_removed: NEVRAs by which the bases differ.
    """

    TYPE = "base-changed"

    refspec: str
    commit: str
    version: str | None = None
    pinned_base: bool = False
    packages_added: tuple[str, ...] = ()
    packages_removed: tuple[str, ...] = ()


class LayerCommitted(Payload, frozen=True):
    """The layered commit is in the repository; the layered set changed by this much.

    commit: the commit to deploy, the base commit itself where nothing is layered. layer_key: hex SHA-256, None then.
    reused: it was found, not built. engine: what built it. notes: what was left out of the layer, and why.
    required_by: NEVRA of each layered package that others need to the NEVRAs of those.
    content: SHA-256, hex, of all of the commit's tree but the rpmdb's bytes, None where nothing is layered.
    """

    TYPE = "layer-committed"

    commit: str
    base_commit: str
    layer_key: str | None = None
    added: tuple[Package, ...] = ()
    removed: tuple[Package, ...] = ()
    upgraded: tuple[PackageChange, ...] = ()
    downgraded: tuple[PackageChange, ...] = ()
    reused: bool = False
    engine: str | None = None
    policy: str | None = None
    notes: tuple[str, ...] = ()
    required_by: dict[str, tuple[str, ...]] = {}
    content: str | None = None


class TransactionPinned(Payload, frozen=True):
    """The commits of a transaction are to outlive every cleanup.

    deployment: STATEROOT-COMMIT.SERIAL of its deployment, where it still is and libostree pins it as well.
    """

    TYPE = "transaction-pinned"

    transaction: int
    deployment: str | None = None


class TransactionUnpinned(Payload, frozen=True):
    """The commits of a transaction may go again. deployment: as in `TransactionPinned`."""

    TYPE = "transaction-unpinned"

    transaction: int
    deployment: str | None = None


class DeploymentsDropped(Payload, frozen=True):
    """Deployments, by STATEROOT-COMMIT.SERIAL, are taken off the list in one switch."""

    TYPE = "deployments-dropped"

    deployments: tuple[str, ...]


class CommitsDropped(Payload, frozen=True):
    """What nothing needs any longer is gone from the repository and the package cache.

    refs: of layer's own. commits: checksums. packages: of the package cache. objects, bytes: of both repositories,
    as libostree counts what it prunes.
    """

    TYPE = "commits-dropped"

    refs: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    objects: int = 0
    bytes: int = 0


class CacheDropped(Payload, frozen=True):
    """Files that can be had again are gone. cache: `metadata` or `downloads`."""

    TYPE = "cache-dropped"

    cache: str
    files: int = 0
    bytes: int = 0


class JournalReplayed(Payload, frozen=True):
    """The state that this transaction leads to is that of another journal.

    transaction: of that journal, the last one that counts; position: of the last event that does. root_hash: RFC 6962
    root over that journal's records up to there, hex. machine_id: of the host that recorded it.
    """

    TYPE = "journal-replayed"

    transaction: int
    position: int
    root_hash: str
    machine_id: str | None = None


class TransactionPrepared(Payload, frozen=True):
    """All objects are there; the next step is the deployment switch, with this origin."""

    TYPE = "transaction-prepared"

    commit: str
    origin: str
    staged: bool = False


class TransactionCommitted(Payload, frozen=True):
    """It happened. deployment: STATEROOT-COMMIT.SERIAL, None where none was needed. recovered: found out later."""

    TYPE = "transaction-committed"

    deployment: str | None = None
    recovered: bool = False


class TransactionUnchanged(Payload, frozen=True):
    """It came out that there was nothing to do."""

    TYPE = "transaction-unchanged"

    message: str


class TransactionFailed(Payload, frozen=True):
    """It failed while working; the state is what it was."""

    TYPE = "transaction-failed"

    kind: str
    message: str


class TransactionRefused(Payload, frozen=True):
    """A rule refused it before any work."""

    TYPE = "transaction-refused"

    kind: str
    message: str


class TransactionInterrupted(Payload, frozen=True):
    """It was found without an outcome, and the host shows that it did not happen."""

    TYPE = "transaction-interrupted"


class UnknownEvent(Payload, frozen=True):
    """An event of a type or version that this version of layer does not know: kept, hashed, shown and shipped."""

    TYPE = ""

    payload: msgspec.Raw


PAYLOADS: tuple[type[Payload], ...] = (
    TransactionStarted,
    DeploymentObserved,
    RequestsChanged,
    BaseChanged,
    LayerCommitted,
    TransactionPinned,
    TransactionUnpinned,
    DeploymentsDropped,
    CommitsDropped,
    CacheDropped,
    JournalReplayed,
    TransactionPrepared,
    TransactionCommitted,
    TransactionUnchanged,
    TransactionFailed,
    TransactionRefused,
    TransactionInterrupted,
)

Outcome = TransactionCommitted | TransactionUnchanged | TransactionFailed | TransactionRefused | TransactionInterrupted
OUTCOMES: tuple[type[Outcome], ...] = (
    TransactionCommitted,
    TransactionUnchanged,
    TransactionFailed,
    TransactionRefused,
    TransactionInterrupted,
)


class Envelope(msgspec.Struct, frozen=True):
    """What every event is recorded with, whatever its type; fields as in `Event`."""

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


class Event(Envelope, frozen=True):
    """A recorded event: its envelope, and its payload decoded.

    position: 1, 2, 3, … without a gap. event_id: UUIDv7. transaction: number of the transaction, likewise gapless.
    recorded_at: RFC 3339, UTC, nanoseconds. version: of the payload's schema, as it was recorded.
    """

    payload: Payload


class Fact(msgspec.Struct, frozen=True):
    """What of a recorded event a fold looks at: its place, and its payload. Fields as in `Event`."""

    position: int
    transaction: int
    transaction_uuid: str
    version: int
    payload: Payload
