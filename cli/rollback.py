"""layer rollback: to any point of the history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from cli import changing


@click.command("rollback", short_help="Go back to any point of the history.")
@click.argument("transaction", metavar="[N|last|last-1]", required=False)
@click.option("--to", metavar="TIME", help="The state at that instant, e.g. '2026-11-20 09:00' or '2 hours ago'.")
@changing.preview
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str | None, to: str | None, **given: Any) -> int:
    """Go back to the state after transaction N, or to that of the previous deployment.

    The state is the refspec, the base, what was requested and absorbed, and the very layered commit. What is no longer
    here is pulled, downloaded and built again, to the same checksum; what can't be had is listed, and nothing changes.
    """
    if transaction is not None and to is not None:
        raise click.UsageError("Say a transaction or --to TIME, not both.")
    from layering import time_travel
    from projections import points

    now = datetime.now().astimezone()
    if to is not None:
        points.instant(to, now)  # a usage error is told before anything is recorded
    if transaction is not None and not points.is_number(transaction):
        raise click.UsageError(f"{transaction!r} is no transaction: say N, last or last-1, or --to TIME.")
    arguments = (transaction,) if transaction is not None else ()
    decide = time_travel.rollback(to if transaction is None else transaction, now, changing.newest_transaction(ctx))
    return changing.run(ctx, "rollback", arguments, decide, {**given, "to": to})
