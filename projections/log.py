"""The records of those transactions that a filter admits, in the order of their positions, as the journal grows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from journal.store import Journal
from projections.history import EVERYTHING, Filter
from projections.points import events_of
from projections.transactions import tell


class _Numbered(msgspec.Struct):
    transaction: int


_numbers = msgspec.json.Decoder(_Numbered)


class Log:
    """A reader that remembers how far it has come. wanted: which transactions; all of them by default."""

    def __init__(self, journal: Journal, wanted: Filter = EVERYTHING) -> None:
        self._journal = journal
        self._wanted = wanted
        self._position = 0
        self._waiting: list[tuple[int, str]] = []

    def read(self, *, finished: bool = False) -> Iterator[str]:
        """The records that came since the last call, as they are stored.

        finished: hold back those of a transaction that still runs, since what a filter says of it is not known yet;
        they come once it has ended.
        """
        last = self._journal.position
        new = self._journal.records(self._position, last)
        self._position = last
        if self._wanted == EVERYTHING:
            yield from (record for _, record in new)
            return
        verdicts: dict[int, bool | None] = {}
        waiting, self._waiting = [*self._waiting, *new], []
        for position, record in waiting:
            number = _numbers.decode(record).transaction
            if number not in verdicts:
                verdicts[number] = self._admits(number, finished)
            if verdicts[number]:
                yield record
            elif verdicts[number] is None:
                self._waiting.append((position, record))

    def _admits(self, number: int, finished: bool) -> bool | None:
        """Whether the filter admits the transaction, None where that is to be seen."""
        told = tell(events_of(self._journal, number))
        return None if finished and told.outcome == "running" else self._wanted.admits(told)
