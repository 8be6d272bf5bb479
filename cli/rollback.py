"""layer rollback: to any point of the history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from cli import changing


@click.command("rollback")
@click.argument("transaction", metavar="[N|last|last-1]", required=False)
@click.option("--to", metavar="TIME", help="The state at that instant, e.g. '2026-11-20 09:00' or '2 hours ago'.")
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str | None, to: str | None, **given: Any) -> int:
    """Go back to the state after transaction N, or to that of the previous deployment.

    The state is the refspec, the base, what was requested and absorbed, and the very layered commit.
    """
    if transaction and to:
        raise click.UsageError("Say a transaction or --to TIME, not both.")
    from layering import operations
    from projections import points

    now = datetime.now().astimezone()
    point = transaction or to
    if point and not points.is_number(point):
        if transaction:
            raise click.UsageError(f"{point!r} is no transaction: say N, last or last-1, or --to TIME.")
        points.instant(point, now)  # a usage error is told before anything is recorded
    arguments = (transaction,) if transaction else ()
    return changing.run(ctx, "rollback", arguments, operations.rollback(point, now), {**given, "to": to})
