"""layer audit export: the journal for other programs."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from cli import filters
from cli.paths import GivenPath
from cli.reading import open_journal

_SQLITE = "sqlite"


@click.command("export")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "cloudevents", "ocsf", "csv", _SQLITE]),
    default="jsonl",
    show_default=True,
    help="JSON lines as stored, CloudEvents 1.0, OCSF 1.8, CSV, or a whole copy of the journal.",
)
@click.option("-o", "--output", type=GivenPath(dir_okay=False), metavar="FILE", help="A new file, not stdout.")
@filters.options
@click.pass_context
def command(ctx: click.Context, /, *, format_: str, output: Path | None, **given: Any) -> None:
    """Copy the journal out. The filters choose transactions, as in `layer history`.

    A file is made with mode 0600; one that is there already is never written over.
    """
    if format_ == _SQLITE:
        if output is None:
            raise click.UsageError("A copy of the journal needs --output FILE.")
        if any(given.values()):
            raise click.UsageError("A copy of the journal is whole: it takes no filter.")
        open_journal(ctx).copy_to(output)
        return
    from projections.exports import EXPORTS
    from projections.log import Log

    records = Log(open_journal(ctx), filters.chosen(given)).read()
    with nullcontext(sys.stdout) if output is None else _new(output) as file:
        for line in EXPORTS[format_](records):
            file.write(f"{line}\n")


def _new(path: Path) -> Any:
    try:
        return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8", newline="")
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
