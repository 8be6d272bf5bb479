"""The root of the tree of errors, and the journal's own branch.

LayerError                       exit 1
├── journal.errors.JournalError
│   ├── JournalCorrupt           not readable as SQLite, or a record that cannot be decoded
│   ├── JournalForeign           a SQLite file that is not a journal
│   ├── JournalTooNew            written by a later schema than this version knows
│   ├── JournalNotWritable       cannot be created or written
│   ├── JournalMissing           nothing was recorded on this host yet
│   ├── UnexpectedPosition       somebody else appended first
│   └── EventRefused             an event that contradicts what is stored
├── projections.errors.ProjectionError
└── layering.errors.LayeringError
"""

from __future__ import annotations

from typing import ClassVar

from journal.printable import printable


class LayerError(Exception):
    """Anything that goes wrong in a way that a user should read about.

    Attributes:
        id: kebab-case name, stable; `error.kind` in the journal and in `--json`.
        exit_code: what the process ends with.
        message: what went wrong; what it quotes can't steer a terminal.
        hint: what the user may do about it, or None.
        transaction: number of the transaction that records it, None where none does.
    """

    id: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(message, keep="\n\t")
        super().__init__(self.message)
        self.hint = hint
        self.transaction: int | None = None


class JournalError(LayerError):
    """The journal cannot do what was asked of it."""

    id = "journal-error"


class JournalCorrupt(JournalError):
    """The file is not readable as SQLite, or a record in it cannot be decoded."""

    id = "journal-corrupt"


class JournalForeign(JournalError):
    """A SQLite file, but not a journal of layer's."""

    id = "journal-foreign"


class JournalTooNew(JournalError):
    """Written by a later version whose schema this one does not know."""

    id = "journal-too-new"


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
