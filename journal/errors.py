"""The root of the tree of errors, and the journal's own branch.

LayerError                       exit 1
├── SystemFailed                 what the system says, where nothing says more of it
├── journal.errors.JournalError
│   ├── JournalCorrupt           not readable as SQLite, or a record that cannot be decoded
│   ├── JournalAltered           what it says is not what was recorded in it
│   ├── JournalForeign           a SQLite file that is not a journal
│   ├── JournalTooNew            written by a later schema than this version knows
│   ├── JournalNotReadable       belongs to others
│   ├── JournalNotWritable       cannot be created or written
│   ├── JournalMissing           nothing was recorded on this host yet
│   ├── UnexpectedPosition       somebody else appended first
│   ├── EventRefused             an event that contradicts what is stored
│   ├── NoSuchEvent              no event at that position, or none that a checkpoint covers yet
│   ├── NoteMalformed            no signed note, checkpoint, proof or key
│   ├── KeyUnusable              the signing key is missing, damaged, unreadable or another log's
│   ├── WitnessFailed            a witness can't be reached, or does not cosign
│   └── Difference               exit 3: the journal, a checkpoint or a proof is not what it should be
│       ├── AnotherLog, NoteNotSigned, HistoryTruncated, AnotherHistory, ProofRefused
├── projections.errors.ProjectionError
└── layering.errors.LayeringError
"""

from __future__ import annotations

import os
from typing import ClassVar

from journal.credentials import without_credentials
from journal.printable import printable


def as_root() -> str | None:
    """The hint where a right is missing; None for root, who would have it."""
    return "Run the command as root." if os.geteuid() else None


class LayerError(Exception):
    """Anything that goes wrong in a way that a user should read about.

    Attributes:
        id: kebab-case name, stable; `error.kind` in the journal and in `--json`.
        exit_code: what the process ends with.
        message: what went wrong; what it quotes can't steer a terminal, and of URLs the credentials are left out.
        hint: what the user may do about it, or None.
        transaction: number of the transaction that records it, None where none does.
    """

    id: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(without_credentials(message), keep="\n\t")
        super().__init__(self.message)
        self.hint = hint
        self.transaction: int | None = None


class SystemFailed(LayerError):
    """What the system refused or could not do, where nothing says more of it."""

    id = "system-error"

    @classmethod
    def by(cls, error: OSError) -> SystemFailed:
        """What the system said, and of which file."""
        message = ": ".join(str(each) for each in (error.filename, error.strerror or error) if each)
        return cls(message, hint=as_root() if isinstance(error, PermissionError) else None)


class JournalError(LayerError):
    """The journal cannot do what was asked of it."""

    id = "journal-error"


class JournalCorrupt(JournalError):
    """The file is not readable as SQLite, or a record in it cannot be decoded."""

    id = "journal-corrupt"


class JournalAltered(JournalError):
    """What a journal says is not what was recorded in it."""

    id = "journal-altered"


class SearchDamaged(JournalError):
    """The full-text search can't be read. It is a cache: `Journal.update_search` makes it anew."""

    id = "search-damaged"


class JournalForeign(JournalError):
    """A SQLite file, but not a journal of layer's."""

    id = "journal-foreign"


class JournalTooNew(JournalError):
    """Written by a later version whose schema this one does not know."""

    id = "journal-too-new"


class JournalNotReadable(JournalError):
    """The file belongs to others."""

    id = "journal-not-readable"


class JournalNotWritable(JournalError):
    """The journal can't be created or written where it belongs."""

    id = "journal-not-writable"


class JournalMissing(JournalError):
    """Nothing was recorded on this host yet."""

    id = "journal-missing"


class UnexpectedPosition(JournalError):
    """The tail has moved on since the caller read it (optimistic concurrency)."""

    id = "unexpected-position"


class EventRefused(JournalError):
    """The event contradicts what is stored: same id with other content, or an unknown transaction."""

    id = "event-refused"


class NoSuchEvent(JournalError):
    """No event at that position, or none that a signed checkpoint covers yet."""

    id = "no-such-event"


class NoteMalformed(JournalError):
    """Not a signed note, a checkpoint, a proof or a key."""

    id = "note-malformed"


class KeyUnusable(JournalError):
    """The key that signs heads is missing, damaged, not readable, or another log's."""

    id = "key-unusable"


class WitnessFailed(JournalError):
    """A witness could not be reached, or does not cosign."""

    id = "witness-failed"


class Difference(JournalError):
    """The journal, a checkpoint or a proof is not what it should be."""

    id = "difference"
    exit_code = 3


class AnotherLog(Difference):
    """It is of a log of another name."""

    id = "another-log"


class NoteNotSigned(Difference):
    """It lacks the signature of the key that it should have, or has a wrong one."""

    id = "not-signed"


class HistoryTruncated(Difference):
    """The journal has fewer events than a checkpoint that was made of it."""

    id = "history-truncated"


class AnotherHistory(Difference):
    """The journal has other events than those that a checkpoint was made of."""

    id = "another-history"


class ProofRefused(Difference):
    """The proof does not show what it should."""

    id = "proof-refused"
