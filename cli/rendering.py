"""Output that several commands share: JSON, instants, tables, a pager."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
import msgspec

from journal.printable import printable
from projections.packages import name_arch

SHORT = 12
"""Digits of a checksum where people read it."""

_NARROWEST = 16
"""What a column that is cut keeps of its width."""


def print_json(document: object) -> None:
    """One JSON document on stdout, indented for people; its keys are a contract."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    click.echo(text.decode())


def local_time(recorded: str) -> str:
    """An instant of the journal in local time, to the second."""
    moment = datetime.fromisoformat(recorded.removesuffix("Z")[:26] + "+00:00")  # datetime knows microseconds, no more
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def instant(seconds: int) -> str:
    """RFC 3339, UTC, of seconds since the epoch."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], cut: Sequence[int] = ()) -> Iterable[str]:
    """Lines of a table, columns as wide as they need; a cell's colour does not count.

    cut: the columns, of plain text, in this order, that end in … where the table would not fit the terminal.
    """
    widths = [max(map(_length, column)) for column in zip(header, *rows, strict=True)]
    for column in cut if sys.stdout.isatty() else ():
        over = sum(widths) + 2 * (len(widths) - 1) - _terminal().columns
        widths[column] = min(widths[column], max(widths[column] - max(over, 0), _NARROWEST))
        rows = [[_cut(cell, widths[at]) if at == column else cell for at, cell in enumerate(row)] for row in rows]
    for number, row in enumerate((header, *rows)):
        cells = [cell + " " * (width - _length(cell)) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(cells).rstrip()
        yield click.style(line, bold=True) if number == 0 else line


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _length(cell: str) -> int:
    """Columns that a cell takes; its colour takes none."""
    return len(click.unstyle(cell) if "\x1b" in cell else cell)


def print_lines(lines: Iterable[str]) -> None:
    """The lines, through a pager where they do not fit the terminal."""
    shown = list(lines)
    if sys.stdout.isatty() and len(shown) >= _terminal().lines:
        os.environ.setdefault("LESS", "FRX")  # as git does: keep colours, and leave the screen as it was
        click.echo_via_pager("".join(f"{line}\n" for line in shown))
        return
    if shown:
        click.echo("\n".join(shown))  # at once: there may be many thousand


def print_notes(notes: Iterable[str]) -> None:
    """What the administrator should hear of, on stderr; what a note quotes can't steer the terminal."""
    for note in notes:
        click.echo(f"Note: {printable(note)}", err=True)


def fields(pairs: Iterable[tuple[str, str | None]], indent: str = "") -> Iterable[str]:
    """`Name: value` lines, the names aligned to the right as `rpm-ostree status` has them; empty values left out.

    The lines of a value are below each other; on a terminal long ones are wrapped.
    """
    kept = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    room = max(_terminal().columns - len(indent) - width - 2, 20) if sys.stdout.isatty() else None
    for name, value in kept:
        first, *more = (part for line in value.splitlines() for part in _wrapped(line, room))
        yield f"{indent}{name:>{width}}: {first}"
        for line in more:
            yield f"{indent}{'':>{width}}  {line}"


def _terminal() -> os.terminal_size:
    import shutil  # loads what it compresses archives with, which nothing else here needs

    return shutil.get_terminal_size()


def _wrapped(line: str, room: int | None) -> list[str]:
    if not room or not line:
        return [line]
    import textwrap

    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False)


def joined(names: Sequence[str]) -> str | None:
    """Names in a row, None where there are none."""
    return " ".join(names) or None


def count(number: int, what: str) -> str:
    """A number of things: `1 file`, `2,000 files`."""
    return f"{number:,} {what}{'s'[: number != 1]}"


def paired(added: Iterable[str], removed: Iterable[str]) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """How two sets of NEVRAs differ: what replaces another of its name and architecture, what came, and what went."""
    gone = {name_arch(nevra): nevra for nevra in removed}
    replaced, come = [], []
    for nevra in sorted(added):
        old = gone.pop(name_arch(nevra), None)
        if old:
            replaced.append((old, nevra))
        else:
            come.append(nevra)
    return replaced, come, sorted(gone.values())


def package_lines(added: Iterable[str], removed: Iterable[str]) -> Iterable[str]:
    """How two sets of NEVRAs differ, a line each: `old -> new` for one of the same name and architecture."""
    replaced, come, gone = paired(added, removed)
    yield from (f"  {old} -> {new}" for old, new in replaced)
    yield from (f"  + {nevra}" for nevra in come)
    yield from (f"  - {nevra}" for nevra in gone)


OUTCOME_COLOURS = {
    "committed": "green",
    "failed": "red",
    "refused": "yellow",
    "interrupted": "magenta",
    "unchanged": None,
    "running": "cyan",
}


def outcome(name: str, recovered: bool = False) -> str:
    """An outcome in its colour."""
    return click.style(name, fg=OUTCOME_COLOURS.get(name)) + (" (recovered)" if recovered else "")
