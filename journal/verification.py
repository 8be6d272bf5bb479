"""Checking a journal against itself: schema, sequence, hashes, tree, and the checkpoints that were made of it.

Each step leans on the one before: records are compared with the stored leaf hashes, those with the tree above them, and
the tree with what was signed. So one altered record is one finding, and whoever has hashed anew what he altered is met
by the signature.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from journal import merkle
from journal.checkpoints import check_extended, check_signed, parse_checkpoint
from journal.errors import AnotherHistory, AnotherLog, HistoryTruncated, LayerError, SearchDamaged
from journal.notes import VerifierKey
from journal.reader import Reader
from journal.stored import POSITIONS

BLOCK_LEVEL = 13
BLOCK = 1 << BLOCK_LEVEL
"""Records that are read and hashed at a time: a complete subtree."""

FULL_INDEXES = ("events_position", "events_event_id", "events_transaction", "events_transaction_uuid")
"""Indexes that every event is in."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be. kind: what, for scripts. position, transaction: of the first event."""

    kind: str
    message: str
    position: int | None = None
    transaction: int | None = None


class OutOfOrder(Exception):
    """The records of a range are not the events of these positions, one after the other."""


class _Place(msgspec.Struct, frozen=True):
    position: Annotated[int, msgspec.Meta(ge=1, lt=POSITIONS)]
    transaction: int


_places = msgspec.json.Decoder(_Place)


def check_schema(journal: Reader) -> Iterator[Finding]:
    """Tables, generated columns, indexes, triggers and views against those of the schema's version."""
    from journal.schema import expected, names

    version = journal.schema_version
    if version < 1:
        yield Finding("schema", f"user_version is {version}, which no journal has")
        return
    ours, found = expected(version), journal.objects()
    for kind, name in sorted({*ours, *found}):
        if (kind, name) not in found:
            yield Finding("schema", f"The {kind} {name} is gone")
        elif (kind, name) not in ours:
            yield Finding("schema", f"The {kind} {name} is none of layer's")
        elif ours[kind, name] != found[kind, name]:
            yield Finding("schema", f"The {kind} {name} is not as layer made it")
    has, applied = names(version), journal.migrations()
    for what, which in (("lacks", has - applied), ("has too many:", applied - has)):
        if which:
            yield Finding("schema", f"The list of applied migrations {what} {', '.join(sorted(which))}")


def check_index(journal: Reader, name: str, events: int) -> Iterator[Finding]:
    """That an index, if it is there, leads to all events: one that does not hides them from whoever asks."""
    if ("index", name) in journal.objects() and (number := journal.indexed(name)) < events:
        yield Finding("index", f"The index {name} leads to {number} of {events} events")


def check_integrity(journal: Reader, events: int) -> Iterator[Finding]:
    """SQLite's own check of every page and index, and the search of these first events against their records."""
    for line in journal.integrity():
        yield Finding("index", f"SQLite says: {line}")
    if ("table", "search") in journal.objects():
        try:
            for first, last, transaction in journal.wrongly_searched(events):
                what = "its record says" if first == last else "their records say"
                message = f"What the search has of {_events(first, last).lower()} is not what {what}"
                yield Finding("search", message, first, transaction)
        except SearchDamaged as error:
            yield Finding("search", error.message)


def lacks_tables(journal: Reader) -> bool:
    """Whether a table is gone that the other checks ask: any but those of the search."""
    from journal.schema import expected

    every = expected(max(journal.schema_version, 1))
    tables = {(kind, name) for kind, name in every if kind == "table" and not name.startswith("search")}
    return not tables <= journal.objects().keys()


Observer = Callable[[int, Sequence[bytes]], None]
"""Is shown the records (UTF-8) as they are read. The number is the position of the first."""


def check_records(journal: Reader, after: int, until: int, observer: Observer | None = None) -> Iterator[Finding]:
    """The records after < position <= until against the stored hashes, and the tree above them up to `BLOCK_LEVEL`.

    after: a multiple of BLOCK.

    Raises:
        OutOfOrder: as `blocks`.
    """
    for start, records in blocks(journal, after, until):
        if observer:
            observer(start + 1, records)
        stored = yield from _compare(journal, 0, start, merkle.leaf_hashes(records), records)
        yield from check_tree(journal, 0, start, stored, BLOCK_LEVEL)


def blocks(journal: Reader, after: int, until: int) -> Iterator[tuple[int, list[bytes]]]:
    """The records after < position <= until, up to BLOCK at a time, and the position that these come after.

    Raises:
        OutOfOrder: they are not those events, one after the other. `check_order` tells what is wrong.
    """
    for start in range(after, until, BLOCK):
        end = min(start + BLOCK, until)
        records = journal.stored_records(start, end)
        if not _in_order(records, start + 1, end):
            raise OutOfOrder
        yield start, records


def _in_order(records: Sequence[bytes], first: int, last: int) -> bool:
    """Whether these are the records of the positions first..last, as layer writes them."""
    begin = '{"position":%d,'
    if len(str(first)) == len(str(last)):  # all as long: compared in one go, since there may be millions
        expected = begin * (last + 1 - first) % tuple(range(first, last + 1))
        width = len(begin % first)
        return b"".join([record[:width] for record in records]) == expected.encode()
    return [record[: len(begin % position)] for position, record in enumerate(records, first)] == [
        (begin % position).encode() for position in range(first, last + 1)
    ]


def check_tree(journal: Reader, level: int, first: int, hashes: list[bytes], until: int) -> Iterator[Finding]:
    """The stored nodes above these against what follows from them, up to a level. first: index of the first of them."""
    while len(hashes) > 1 and level < until:
        level, first = level + 1, first >> 1
        hashes = yield from _compare(journal, level, first, merkle.parents(hashes))


def check_order(journal: Reader, nodes: Mapping[int, int]) -> list[Finding]:
    """What is wrong with the sequence, record by record, and with each record against its hash, wherever it stands.

    nodes: each level of the stored tree to the index of its last node.
    """
    findings: list[Finding] = []
    displaced: Finding | None = None
    seen: set[int] = set()
    before = 0
    for row, record in journal.every_record():
        place = _place(record)
        if place is None:
            findings.append(Finding("corrupt", f"What follows event {before} is not a record", before + 1))
            continue
        position, transaction = place.position, place.transaction
        hashes = journal.node_hashes(0, position - 1, position)
        if position in seen:
            findings.append(Finding("inserted", f"Another event claims position {position}", position, transaction))
            continue
        if hashes != [merkle.leaf_hash(record)]:
            findings.append(_altered(position, transaction, bool(hashes)))
        if not hashes:  # where layer put it nobody knows
            continue
        if position < before:
            findings.append(
                Finding("reordered", f"Event {position} stands after event {before}", position, transaction)
            )
        elif displaced is None and row != position:
            displaced = Finding("reordered", f"Event {position} stands in row {row}", position, transaction)
        seen.add(position)
        before = max(before, position)
    findings += (_missing(start, end) for start, end in _gaps(sorted(seen), nodes.get(0, -1) + 1))
    return findings or ([displaced] if displaced else [])


def check_surplus(journal: Reader, events: int, nodes: Mapping[int, int]) -> Iterator[Finding]:
    """Hashes of events that are not there: the end of the journal was cut off, or nothing more can be appended.

    nodes: each level of the stored tree to the index of its last node.
    """
    for level, first in sorted(journal.first_nodes().items()):
        if first < 0:
            yield Finding("tree", f"Node ({level}, {first}) of the tree is over events that are not there")
    leaves = nodes.get(0, -1) + 1
    if leaves > events:
        yield _missing(events + 1, leaves)
    for level, last in sorted(nodes.items()):
        if level and (level < 0 or last >= max(events, leaves) >> level):
            yield Finding("tree", f"Node ({level}, {last}) of the tree is over events that are not there", events + 1)


def check_checkpoints(
    journal: Reader, events: int, notes: Iterable[tuple[str, str]], key: VerifierKey | None
) -> Iterator[Finding]:
    """Checkpoints that were made of the journal against its tree.

    notes: where each is kept, and its text. key: what they are signed with; None checks no signature.
    """
    checkpoints = []
    cut, another = 0, False
    for place, text in notes:
        try:
            checkpoint = parse_checkpoint(text)
            if key:
                check_signed(checkpoint, key)
        except AnotherLog as error:
            if not another:  # one says it all
                yield Finding(error.id, f"{place}: {error.message}", 1)
            another = True
        except LayerError as error:
            yield Finding(error.id, f"{place}: {error.message}")
        else:
            checkpoints.append(checkpoint)
    good, wrong = 0, False
    for checkpoint in sorted(checkpoints, key=lambda each: each.size):
        try:
            check_extended(checkpoint, events, journal.node)
            good = checkpoint.size
        except HistoryTruncated:
            cut = checkpoint.size
        except AnotherHistory:
            if not wrong:  # all later ones are wrong as well
                yield _rewritten(journal, good, checkpoint.size)
            wrong = True
    if cut:
        was = "was signed and is" if cut == events + 1 else "were signed and are"
        yield Finding("truncated", f"{_events(events + 1, cut)} {was} missing", events + 1)


def check_head(
    origin: str | None, events: int, head: str | None, signed: int, key: VerifierKey | None
) -> Iterator[Finding]:
    """That the head is signed, by the key of this log, where there is a key.

    origin: name of the log. head: the signed head, over `signed` events.
    """
    if key is None:
        if head is not None:
            yield Finding("no-key", "The heads are signed, and the key to check them with is not beside the journal")
    elif origin is not None and key.name != origin:
        yield Finding("another-log", f"The key is of the log {key.name}; this journal is {origin}", 1)
    elif signed < events:
        yield Finding("unsigned", f"{_events(signed + 1, events)} came without the head being signed", signed + 1)


def _compare(
    journal: Reader, level: int, first: int, computed: list[bytes], records: Sequence[bytes] = ()
) -> Generator[Finding, None, list[bytes]]:
    """Yields findings where stored nodes are not the computed ones; returns the stored ones to go on with."""
    if journal.joined_hashes(level, first, first + len(computed)) == b"".join(computed):
        return computed
    known = journal.numbered_hashes(level, first, first + len(computed))
    for index, digest in enumerate(computed, first):
        stored = known.get(index)
        if stored == digest:
            continue
        covered = _events((index << level) + 1, (index + 1) << level)
        if stored is not None and len(stored) != merkle.HASH_SIZE:
            known[index] = digest
            yield Finding("tree", f"The hash over {covered.lower()} is not 32 bytes long", (index << level) + 1)
        elif level == 0:
            place = _place(records[index - first])
            yield _altered(index + 1, place.transaction if place else None, stored is not None)
        else:
            what = "is missing: the one" if stored is None else "is not the one"
            yield Finding(
                "tree", f"The hash over {covered.lower()} {what} that follows from those below it", (index << level) + 1
            )
    return [known.get(index, digest) for index, digest in enumerate(computed, first)]


def _place(record: bytes) -> _Place | None:
    try:
        return _places.decode(record)
    except msgspec.MsgspecError:
        return None


def _missing(first: int, last: int) -> Finding:
    return Finding("missing", f"{_events(first, last)} {'is' if first == last else 'are'} missing", first)


def _altered(position: int, transaction: int | None, hashed: bool) -> Finding:
    if hashed:
        return Finding(
            "altered", f"The record of event {position} is not the one that was hashed", position, transaction
        )
    return Finding("inserted", f"Event {position} has no hash: layer did not append it", position, transaction)


def _rewritten(journal: Reader, good: int, wrong: int) -> Finding:
    """What is known of a history that was altered and hashed anew: between which two signed heads it was."""
    first, last = journal.transactions_by(good + 1), journal.transactions_by(wrong)
    which = f"transaction {first}" if first == last else f"transactions {first} to {last}"
    message = f"{_events(good + 1, wrong)} (of {which}) are not those that were signed"
    return Finding("rewritten", message, good + 1, first)


def _gaps(positions: Sequence[int], last: int) -> Iterator[tuple[int, int]]:
    expected = 1
    for position in (*positions, last + 1):
        if position > expected:
            yield expected, position - 1
        expected = position + 1


def _events(first: int, last: int) -> str:
    return f"Event {first}" if first == last else f"Events {first} to {last}"
