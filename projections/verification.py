"""Snapshots against a fresh fold."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from journal.codec import decode, decode_facts
from journal.errors import LayerError
from journal.findings import Finding
from journal.reader import Reader
from journal.verification import blocks
from projections.host import NOTHING, Projection, apply, fold
from projections.points import SNAPSHOT


class SnapshotCheck:
    """Folds the records that it is shown, and compares every snapshot on the way. findings: what it found so far.

    It is shown the records after < position <= until, block by block. Those that the last snapshot before them lacks it
    reads itself.

    Raises:
        OutOfOrder: as `journal.verification.blocks`.
    """

    def __init__(self, journal: Reader, after: int, until: int) -> None:
        self.findings: list[Finding] = []
        self._journal = journal
        self._ahead = [each for each in reversed(journal.snapshots(SNAPSHOT)) if after < each <= until]
        self._projection = NOTHING
        if self._ahead:
            self._catch_up(after)

    def __call__(self, first: int, records: Sequence[bytes]) -> None:
        """Fold these records. first: position of the first of them."""
        last = first + len(records) - 1
        while self._ahead and self._projection.position < last:
            until = min(self._ahead[-1], last)
            self._fold(records[self._projection.position + 1 - first : until + 1 - first])
            if self._ahead and self._ahead[-1] == until:
                self._compare(self._ahead.pop())

    def _catch_up(self, after: int) -> None:
        """Fold from the last snapshot up to this position."""
        self._projection = start_at(self._journal, after)
        for _, records in blocks(self._journal, self._projection.position, after):
            self._fold(records)
            if not self._ahead:
                return

    def _fold(self, records: Sequence[bytes]) -> None:
        try:
            self._projection = fold(decode_facts(records), self._projection)
        except LayerError:
            self._fail(records)

    def _fail(self, records: Sequence[bytes]) -> None:
        """Name the event that no state follows from, and fold no further."""
        self._ahead.clear()
        for record in records:
            try:
                self._projection = apply(self._projection, decode(record))
            except LayerError as error:
                position = self._projection.position + 1
                message = f"No state follows from event {position}: {error.message}"
                self.findings.append(Finding(error.id, message, position))
                return

    def _compare(self, position: int) -> None:
        kept = self._journal.snapshot(SNAPSHOT, position)
        if kept is None or kept[0] != position:
            return  # another one has taken its place since
        if kept[1] == msgspec.json.encode(self._projection).decode():
            return
        try:
            same = msgspec.json.decode(kept[1], type=Projection) == self._projection
        except msgspec.MsgspecError:
            same = False
        if not same:
            transaction = self._journal.transactions_by(position)
            message = f"The snapshot at position {position} is not what follows from the events"
            self.findings.append(Finding("snapshot", message, position, transaction))


def surplus(journal: Reader, events: int) -> list[Finding]:
    """Snapshots of events that are not there. events: how many are."""
    return [
        Finding("snapshot", f"The snapshot at position {position} is of events that are not there", position)
        for position in journal.snapshots(SNAPSHOT)
        if not 1 <= position <= events
    ]


def start_at(journal: Reader, position: int) -> Projection:
    """What the newest snapshot at or before a position says, whether or not it is right. Of no other position."""
    kept = journal.snapshot(SNAPSHOT, position)
    if kept is None or kept[0] < 1:
        return NOTHING
    try:
        said = msgspec.json.decode(kept[1], type=Projection)
    except msgspec.MsgspecError:
        return NOTHING
    return said if said.position == kept[0] else NOTHING
