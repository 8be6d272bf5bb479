"""layer audit log: the events themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from cli import filters
from cli.reading import open_journal

_SECONDS = 0.5
"""Between two looks at a journal that is followed."""


@click.command("log", short_help="Print the events as JSON lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on, and print what is added, until interrupted.")
@filters.options
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON document, an array.")
@click.pass_context
def command(ctx: click.Context, /, *, follow: bool, as_json: bool, **given: Any) -> None:
    """Print the events as JSON lines, the oldest first: each record as it is stored and hashed.

    The filters choose transactions, as in `layer history`; all events of those are printed. With --follow those of a
    transaction that a filter can't judge yet come when it has ended.
    """
    if follow and as_json:
        raise click.UsageError("--follow has no end, which --json needs: the lines are JSON each.")
    from projections.log import Log

    log = Log(open_journal(ctx), filters.chosen(given))
    if as_json:
        _print_array(log.read())
        return
    try:
        while True:
            for record in log.read(finished=follow):
                sys.stdout.write(f"{record}\n")
            sys.stdout.flush()
            if not follow:
                return
            time.sleep(_SECONDS)
    except KeyboardInterrupt:
        if not follow:
            raise


def _print_array(records: Iterator[str]) -> None:
    """One JSON document of records that are JSON already, each on a line of its own."""
    before = "[\n"
    for record in records:
        sys.stdout.write(before + record)
        before = ",\n"
    sys.stdout.write("[]\n" if before.startswith("[") else "\n]\n")
