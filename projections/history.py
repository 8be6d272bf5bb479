"""The transactions newest first, filtered as `layer history` is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice

import msgspec

from journal.store import Journal
from projections.packages import name_arch
from projections.transactions import Transaction, events_backwards, tell

_WRONG = ("failed", "refused", "interrupted")


class Filter(msgspec.Struct, frozen=True):
    """Which transactions to tell. All that is given must hold.

    since, until: instants as the journal writes them, of the transaction's start. package: a glob over names and
    NEVRAs of what was asked for or changed. user: name or uid of the process, the login or the sudo user.
    """

    since: str | None = None
    until: str | None = None
    package: str | None = None
    user: str | None = None
    verb: str | None = None
    failed: bool = False

    def admits(self, told: Transaction) -> bool:
        """Whether the transaction is one of those asked for."""
        return (
            (self.since is None or told.started_at >= self.since)
            and (self.until is None or told.started_at <= self.until)
            and (self.verb is None or told.verb == self.verb)
            and (not self.failed or told.outcome in _WRONG)
            and (self.user is None or self.user in _people(told))
            and (self.package is None or any(fnmatchcase(name, self.package) for name in _packages(told)))
        )


EVERYTHING = Filter()


def newest_first(journal: Journal, wanted: Filter = EVERYTHING, limit: int | None = None) -> Iterator[Transaction]:
    """The transactions that the filter admits, newest first, at most `limit` of them; read no further than needed."""
    told = map(tell, events_backwards(journal, journal.transactions))
    yield from islice(filter(wanted.admits, told), limit)


def _people(told: Transaction) -> set[str]:
    actor = told.actor
    names = (actor.user, actor.login_user, actor.invoked_by, actor.uid, actor.loginuid)
    return {str(name) for name in names if name is not None}


def _packages(told: Transaction) -> Iterator[str]:
    yield from told.arguments
    changed = (*told.added, *told.removed, *(each for pair in (*told.upgraded, *told.downgraded) for each in pair))
    for nevra in changed:
        yield nevra
        yield name_arch(nevra)[0]
