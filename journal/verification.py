"""Checking a journal against itself: schema, sequence, hashes and tree.

Each step leans on the one before: records are compared with the stored leaf hashes, those with the tree above them, and
the tree with what was signed (`journal.head_verification`). So one altered record is one finding, and whoever has
hashed anew what he altered is met by the signature.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from journal import merkle
from journal.errors import SearchDamaged
from journal.findings import Finding, worded
from journal.reader import Reader
from journal.stored import POSITIONS

BLOCK_LEVEL = 13
BLOCK = 1 << BLOCK_LEVEL
"""Records that are read and hashed at a time: a complete subtree."""

FULL_INDEXES = ("events_position", "events_event_id", "events_transaction", "events_transaction_uuid")
"""Indexes that every event is in."""


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
                message = f"What the search has of {worded(first, last).lower()} is not what {what}"
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
        covered = worded((index << level) + 1, (index + 1) << level)
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
    return Finding("missing", f"{worded(first, last)} {'is' if first == last else 'are'} missing", first)


def _altered(position: int, transaction: int | None, hashed: bool) -> Finding:
    if hashed:
        return Finding(
            "altered", f"The record of event {position} is not the one that was hashed", position, transaction
        )
    return Finding("inserted", f"Event {position} has no hash: layer did not append it", position, transaction)


def _gaps(positions: Sequence[int], last: int) -> Iterator[tuple[int, int]]:
    expected = 1
    for position in (*positions, last + 1):
        if position > expected:
            yield expected, position - 1
        expected = position + 1
