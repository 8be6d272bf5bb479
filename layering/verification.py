"""The whole check of a journal, spread over the processors: what `layer audit verify` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import msgspec

from journal import head_verification, keys, verification
from journal.errors import JournalAltered, KeyUnusable, LayerError
from journal.findings import Finding
from journal.notes import VerifierKey
from journal.store import Journal
from journal.verification import BLOCK, BLOCK_LEVEL, OutOfOrder
from layering.parallel import processors, spread
from projections.points import SNAPSHOT
from projections.verification import SnapshotCheck, surplus

_WORTH_A_PROCESS = 1 << 16
_RANGE = 4 * BLOCK
"""Records of a range: small enough that the processes are done at about the same time."""

_DEEP_AT_MOST = 50_000
"""Events of a journal that is checked deeply in any case: it takes about a second."""

Check = Callable[[], list[Finding]]
T = TypeVar("T")

_TOP = 64
"""No tree is higher."""


class Report(msgspec.Struct, frozen=True):
    """What was checked, and what was found. root_hash: of the tree as it is stored, hex."""

    path: str
    events: int
    transactions: int
    root_hash: str
    checkpoints: int
    snapshots: int
    findings: tuple[Finding, ...]


def verify(
    path: Path, key: VerifierKey | None = None, kept: Sequence[tuple[str, str]] = (), *, deep: bool = False
) -> Report:
    """Check all of a journal.

    key: of the log, where not the one beside the journal is to be trusted; with one that is damaged no signature is
    checked, and that is a finding. kept: checkpoints kept elsewhere, where each
    is from and its text; the one beside the journal is looked at in any case. deep: have SQLite check all
    pages and indexes and the search, as is done with a short journal in any case.

    Raises:
        JournalMissing, JournalForeign, JournalTooNew, JournalCorrupt: it is no journal that could be checked.
    """
    journal = Journal.open(path)
    findings = list(verification.check_schema(journal))
    if verification.lacks_tables(journal):
        return Report(str(path), 0, 0, "", 0, 0, tuple(findings))  # nothing else can be asked of it
    unusable: list[Finding] = []
    key = key or _beside(path, keys.load_verifier, unusable)
    without_key = bool(unusable)
    beside = _beside(path, keys.kept_checkpoint, unusable)
    with journal.at_rest():
        events, nodes = journal.last_position, journal.last_nodes()
        rows, ahead = journal.rows, journal.rows_ahead
        signed, head = journal.signed_size, journal.head()
        of_no_events = surplus(journal, events)
        notes = [(f"Checkpoint {number}", text) for number, text in enumerate(journal.checkpoints(), 1)]
    notes += [("The head", text) for text in (head,) if text]
    notes += [("The checkpoint beside the journal", text) for text in (beside,) if text]
    notes += kept
    notes = list({text: (place, text) for place, text in notes}.values())

    def checkpoints() -> list[Finding]:
        with closing(Journal.open(path)) as opened:
            return list(_told(head_verification.check_checkpoints(opened, events, notes, key)))

    findings += _told(_check_events(journal, events, nodes, checkpoints, in_place=rows == events and not ahead))
    findings += _told(head_verification.check_heads(journal))
    findings += of_no_events
    findings += unusable
    if not without_key:  # that is told already
        findings += _told(_check_head(journal, events, head, signed, key))
    # Where events were altered, the search has what they were: that would be said twice.
    if deep or (events <= _DEEP_AT_MOST and not findings):
        findings += _told(verification.check_integrity(journal, events))
    return Report(
        path=str(path),
        events=events,
        transactions=journal.last_transaction,
        root_hash="" if findings else journal.root_hash_at(events).hex(),
        checkpoints=len(notes),
        snapshots=len(journal.snapshots(SNAPSHOT)),
        findings=tuple(findings),
    )


def _beside(path: Path, load: Callable[[Path], T], findings: list[Finding]) -> T | None:
    """What lies beside the journal at this path; that it can't be used is one more finding."""
    try:
        return load(path)
    except KeyUnusable as error:
        findings.append(Finding(error.id, error.message))
        return None


def _check_events(
    journal: Journal, events: int, nodes: Mapping[int, int], checkpoints: Check, *, in_place: bool
) -> Iterator[Finding]:
    def index(name: str) -> list[Finding]:
        with closing(Journal.open(journal.path)) as opened:
            return list(_told(verification.check_index(opened, name, events)))

    indexes = [partial(index, name) for name in verification.FULL_INDEXES]
    try:
        if not in_place:
            raise OutOfOrder
        in_ranges, in_others = _spread(journal.path, events, (*indexes, checkpoints))
    except OutOfOrder:
        yield from verification.check_order(journal, nodes)
        yield from checkpoints()
        return
    yield from chain.from_iterable(in_ranges)
    peaks = journal.node_hashes(BLOCK_LEVEL, 0, events >> BLOCK_LEVEL)
    yield from verification.check_tree(journal, BLOCK_LEVEL, 0, peaks, _TOP)
    yield from verification.check_surplus(journal, events, nodes)
    yield from chain.from_iterable(in_others)


def _check_head(
    journal: Journal, events: int, head: str | None, signed: int, key: VerifierKey | None
) -> Iterator[Finding]:
    yield from head_verification.check_head(journal.origin, events, head, signed, key)


def _spread(path: Path, events: int, others: Sequence[Check]) -> tuple[list[list[Finding]], list[list[Finding]]]:
    """The findings of each range of records, and those of the other checks, all spread over the processors.

    A wrong snapshot leads the fold that starts from it astray: if one is found, all are compared with one fold from
    the beginning.
    """
    workers = max(min(processors(), events // _WORTH_A_PROCESS), 1)
    span = _RANGE if workers > 1 else max(events, 1)
    ranges = max(-(-events // span), 1)  # may be more than could be listed, if a record claims that: it is out of order

    def check(number: int) -> list[Finding]:
        if number < ranges:
            return check_range(path, number * span, min((number + 1) * span, events))
        return others[number - ranges]()

    with closing(spread(check, ranges + len(others), workers)) as checked:
        results = [findings for _, findings in sorted(checked, key=itemgetter(0))]
    in_ranges, in_others = results[: -len(others)], results[-len(others) :]
    if len(in_ranges) > 1 and any(each.kind == "snapshot" for findings in in_ranges for each in findings):
        in_ranges = [check_range(path, 0, events)]
    return in_ranges, in_others


def check_range(path: Path, after: int, until: int) -> list[Finding]:
    """Check the records after < position <= until, and the snapshots of these positions.

    after: a multiple of BLOCK.

    Raises:
        OutOfOrder: the records are not the events of these positions.
    """
    with closing(Journal.open(path)) as journal:
        snapshots = SnapshotCheck(journal, after, until)
        findings = list(verification.check_records(journal, after, until, snapshots))
        return findings + snapshots.findings


def require_unaltered(path: Path, events: int) -> None:
    """Check the first events of a journal, the tree over them and their snapshots, before something is built on them.

    Raises:
        JournalAltered: they are not what was recorded.
    """
    with closing(Journal.open(path)) as journal:
        try:
            if journal.rows_ahead:
                raise OutOfOrder
            findings = check_range(path, 0, events)
            peaks = journal.node_hashes(BLOCK_LEVEL, 0, events >> BLOCK_LEVEL)
            findings += verification.check_tree(journal, BLOCK_LEVEL, 0, peaks, _TOP)
        except OutOfOrder:
            findings = verification.check_order(journal, journal.last_nodes())
    if findings:
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise JournalAltered(
            f"The journal {path} is not what was recorded in it: {findings[0].message}{more}",
            hint=f"`layer audit --journal {path} verify` tells all.",
        )


def _told(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; and an error that stops a step is one more."""
    try:
        yield from findings
    except LayerError as error:
        yield Finding(error.id, error.message)
