"""layer audit log: the events themselves."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from cli import filters
from cli.reading import open_journal

_SECONDS = 0.5
"""Between two looks at a journal that is followed."""


@click.command("log", short_help="Print the events as JSON lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on, and print what is added, until interrupted.")
@filters.options
@click.pass_context
def command(ctx: click.Context, /, *, follow: bool, **given: Any) -> None:
    """Print the events as JSON lines, the oldest first: each record as it is stored and hashed.

    The filters choose transactions, as in `layer history`; all events of those are printed. With --follow those of a
    transaction that a filter can't judge yet come when it has ended.
    """
    from projections.log import Log

    log = Log(open_journal(ctx), filters.chosen(given))
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
