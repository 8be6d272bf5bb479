"""The journal's file: how it is made, opened, and what SQLite says about it in the terms of the error tree."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from journal.errors import (
    EventRefused,
    JournalCorrupt,
    JournalForeign,
    JournalNotReadable,
    JournalNotWritable,
    as_root,
)

BUSY_TIMEOUT_MS = 30_000
MIGRATIONS = "layer.journal"
"""Name of the set of migrations, of which there may be several in one file."""
ROOM = 1 << 20
"""Bytes: several times what the events of one transaction take, their indexes and SQLite's own journal included."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode that waits for its turn. mode: SQLite's own, `ro` or `rw`."""
    if path.is_dir():
        raise JournalForeign(f"{path} is a directory, not a journal")
    if not os.access(path, os.R_OK):
        raise JournalNotReadable(f"The journal {path} is not readable", hint=as_root())
    with told_as_errors(path):
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection to read by: one that can roll back what a crashed writer left half done, where that is permitted."""
    return connect(path, "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro")


def objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str | None]:
    """(type, name) of each table, index, trigger and view to its SQL, but for SQLite's and sqlite-utils' own."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE NOT (type = 'index' AND sql IS NULL)"
        " AND NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4', '_sqlite_migrations'))"
    )
    return {(str(kind), str(name)): sql for kind, name, sql in rows}


def applied(connection: sqlite3.Connection) -> set[str]:
    """The migrations that were applied to a journal, by sqlite-utils' list of them; none, where it can't be read."""
    query = "SELECT CAST(name AS BLOB), CAST(applied_at AS BLOB) FROM _sqlite_migrations WHERE migration_set = ?"
    try:
        return {(name or b"").decode(errors="replace") for name, _ in connection.execute(query, (MIGRATIONS,))}
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return set()  # no such table, or column


def require_room(path: Path) -> None:
    """Refuse to begin what could not be recorded to its end: an outcome that finds the disk full comes too late.

    Raises:
        JournalNotWritable: there is less than `ROOM` left for the journal.
    """
    with told_as_errors(path):
        disk = os.statvfs(path.parent)
    if (free := disk.f_bavail * disk.f_frsize) < ROOM:
        raise JournalNotWritable(
            f"The disk is full for the journal {path}: {free:,} bytes are free, and {ROOM:,} are kept for what is to be"
            " recorded",
            hint="Free some space on that file system.",
        )


def create(path: Path) -> None:
    """Make an empty journal beside its place, and link it there: whoever comes second uses the first one's."""
    import tempfile

    from journal.schema import migrate

    with told_as_errors(path), contextlib.ExitStack() as stack:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent)))
        connection = sqlite3.connect(scratch / path.name, isolation_level=None)
        migrate(connection)
        connection.close()
        _sync(scratch / path.name)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(scratch / path.name)
        _sync(path.parent)
        _sync(path.parent.parent)


def write(path: Path, text: str, *, mode: int, replace: bool) -> None:
    """Write a file whole or not at all, with this mode from its first byte on.

    replace: whether it takes the place of one that is there; if not, the one that is there stays.
    """
    import tempfile

    with told_as_errors(path), tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
        new = Path(scratch, path.name)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            os.fchmod(descriptor, mode)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        if replace:
            new.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(new)
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def told_as_errors(path: Path) -> Iterator[None]:
    """What SQLite and the file system say, in the terms of the error tree."""
    try:
        yield
    except sqlite3.OperationalError as error:
        half_done = getattr(error, "sqlite_errorname", None) == "SQLITE_READONLY_ROLLBACK"
        hint = "What wrote it was cut off half-way: any command of layer's, run as root, takes that back."
        raise JournalNotWritable(
            f"The journal {path} can't be used: {error}", hint=hint if half_done else None
        ) from error
    except sqlite3.IntegrityError as error:
        raise EventRefused(f"The journal {path} refused the event: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where SQLite's message quotes the file
        raise JournalCorrupt(
            f"The journal {path} is corrupt: {error}", hint="Restore it from a copy; see docs/journal.md."
        ) from error
    except OSError as error:
        raise JournalNotWritable(f"The journal {path} can't be written: {error.strerror or error}") from error
    except JournalCorrupt as error:
        if str(path) in error.message:
            raise
        raise JournalCorrupt(f"The journal {path} is corrupt: {error.message}", hint=error.hint) from error
