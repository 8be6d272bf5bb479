"""Journal against host: every difference, with its remedy. Nothing is written."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from journal.errors import LayerError
from journal.events import CommitsDropped
from journal.identifiers import timestamp
from journal.store import Journal
from layering import sync
from layering.pkgcache import PackageCache, cache_path
from layering.sysroot import Deployment, Sysroot, lock_holder
from layering.verification import verify
from projections import origin, points, retention
from projections.host import HostState, OpenTransaction, names

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_SYNC = "`layer sync` records it."
_DAMAGED = 'See "A damaged journal" in docs/journal.md.'
_CACHES = {
    "snapshot": "Snapshots are caches: `sqlite3 journal.db 'DELETE FROM snapshots'` loses nothing.",
    "search": "The search is a cache: `sqlite3 journal.db 'DROP TABLE search'`, where SQLite still can, and"
    " `layer sync` make it anew.",
}
"""What to do about findings of these kinds."""


class Problem(msgspec.Struct, frozen=True):
    """One difference. kind: kebab-case and stable. remedy: what the administrator may do about it."""

    kind: str
    message: str
    remedy: str


def diagnose(sysroot: Sysroot, path: Path, now: int) -> list[Problem]:
    """All that is wrong between the journal at `path` and the host. now: nanoseconds since the epoch."""
    if not path.exists():
        return [Problem("journal-missing", f"There is no journal at {path}", "`layer sync` begins one.")]
    problems = list(_file(path))
    try:
        journal = Journal.open(path)
        for finding in verify(path).findings:
            problems.append(Problem(finding.kind, finding.message, _CACHES.get(finding.kind, _DAMAGED)))
        problems += _clock(journal, now)
        projection = points.at(journal)
        problems += _open(sysroot, projection.open)
        if projection.host is None:
            problems.append(Problem("not-adopted", "The journal does not know this host yet", _SYNC))
        else:
            problems += _head(sysroot, projection.host)
        problems += _commits(sysroot, journal)
    except LayerError as error:
        problems.append(Problem(error.id, error.message, error.hint or _DAMAGED))
    problems += _unlocked(sysroot)
    problems += _cache(PackageCache(cache_path(sysroot.path)))
    return problems


def _file(path: Path) -> Iterator[Problem]:
    """Who may write the journal besides root can write another one in its place."""
    for each in (path, path.parent):
        found = each.stat()
        if found.st_uid or found.st_mode & _OTHERS:
            mode = f"{stat.filemode(found.st_mode)}, owner {found.st_uid}"
            yield Problem(
                "journal-writable",
                f"{each} can be written by others than root ({mode})",
                f"`chown root {each}; chmod go-w {each}`; then `layer audit verify` with a checkpoint kept elsewhere.",
            )


def _clock(journal: Journal, now: int) -> Iterator[Problem]:
    last = journal.position
    for event in journal.events(last - 1):
        if event.recorded_at > timestamp(now):
            yield Problem(
                "clock",
                f"The last event was recorded at {event.recorded_at}, which is yet to come",
                "Set the clock: points of the history are found by it.",
            )


def _open(sysroot: Sysroot, transactions: tuple[OpenTransaction, ...]) -> Iterator[Problem]:
    """Transactions without an outcome, but for the one that is running."""
    holder, _ = lock_holder(sysroot.path / "ostree/lock")
    for transaction in transactions:
        if holder is None or transaction.pid != holder:
            outcome = sync.recovery(transaction, sysroot.deployments)
            became = "it happened" if outcome.TYPE == "transaction-committed" else "it did not happen"
            yield Problem(
                "cut-off",
                f"Transaction {transaction.number} ({transaction.verb}) was cut off; {became}",
                _SYNC,
            )


def _head(sysroot: Sysroot, state: HostState) -> Iterator[Problem]:
    """How the first deployment differs from what the journal leads to."""
    deployments = sysroot.deployments
    if not deployments:
        yield Problem(
            "no-deployment", f"The stateroot {sysroot.osname} has no deployment", "`ostree admin deploy` one."
        )
        return
    head = deployments[0]
    if sync.is_known(state, head):
        return
    yield Problem(
        "not-observed",
        f"Deployment {head.id} is not what the journal leads to: {'; '.join(_differences(state, head))}",
        f"`layer sync` records it as it is; `layer rollback {state.transaction}` after that goes back.",
    )


def _differences(state: HostState, head: Deployment) -> Iterator[str]:
    found = origin.parse(head.origin)
    said = (
        ("commit", head.commit, state.commit),
        ("refspec", found.refspec, state.refspec),
        ("requested", " ".join(names(found.requested)), " ".join(names(state.requested))),
        ("pinned", found.override_commit is not None, state.pinned_base),
        ("transaction", found.transaction, state.deployed_by),
    )
    for name, there, here in said:
        if there != here:
            yield f"{name} is {there or 'none'}, not {here or 'none'}"


def _commits(sysroot: Sysroot, journal: Journal) -> Iterator[Problem]:
    """Commits that are to be kept, and are not here, or are held by no ref; but for what `layer cleanup` dropped."""
    wanted: dict[str, tuple[int, str]] = {}
    for state in retention.kept_states(journal):
        for name, commit in retention.refs_of(state).items():
            wanted[name] = max(wanted.get(name, (0, "")), (state.transaction or 0, commit))
    dropped: dict[str, int] = {}
    oldest = min((number for number, _ in wanted.values()), default=0)
    for event in journal.transaction_events(oldest, journal.transactions) if wanted else ():
        if isinstance(event.payload, CommitsDropped):
            dropped |= dict.fromkeys(event.payload.refs, event.transaction)
    refs = sysroot.refs()
    for name, (number, commit) in sorted(wanted.items(), key=lambda each: each[1]):
        if dropped.get(name, 0) > number:
            continue
        if not sysroot.has_commit(commit):
            yield Problem(
                "commit-missing",
                f"Commit {commit} of transaction {number} is gone",
                f"`layer rollback {number}` has it again when it is wanted.",
            )
        elif refs.get(name) != commit:
            yield Problem(
                "ref-missing",
                f"Nothing holds commit {commit} of transaction {number}: any tool's cleanup may drop it",
                "`layer cleanup -b` holds it again.",
            )


def _unlocked(sysroot: Sysroot) -> Iterator[Problem]:
    for deployment in sysroot.deployments:
        if not deployment.pristine:
            yield Problem(
                "unlocked",
                f"Deployment {deployment.id} is unlocked: what is changed in its /usr is in no journal",
                "Boot another deployment, or layer what is wanted.",
            )


def _cache(cache: PackageCache) -> Iterator[Problem]:
    if reason := cache.unusable():
        yield Problem(
            "cache-damaged",
            f"The package cache {cache.path} can't be opened: {reason}",
            "It is made anew when a package is layered; deleting it loses nothing.",
        )
    for nevra, reason in cache.damaged():
        yield Problem(
            "cache-damaged",
            f"The cached package {nevra} is damaged: {reason}",
            f"It is had again when it is needed; deleting {cache.path} loses nothing either.",
        )
