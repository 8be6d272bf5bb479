"""layer pin: keep the commits of a transaction."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from cli.reading import journal_path


@click.command("pin", short_help="Keep the commits of a transaction.")
@click.argument("transaction", metavar="N|last|last-1")
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str, **given: Any) -> int:
    """Keep the commits of transaction N through every cleanup, and its deployment where it still is.

    A deployment that is made later does not inherit the pin. `layer unpin N` takes it back.
    """
    return run(ctx, "pin", transaction, given)


def run(ctx: click.Context, verb: str, transaction: str, given: dict[str, Any]) -> int:
    """Pin or unpin, as the verb says."""
    from journal.store import Journal
    from projections import points

    if not points.is_number(transaction):
        raise click.UsageError(f"{transaction!r} is no transaction: say N, last or last-1.")
    path = journal_path(ctx)
    last = Journal.open(path).transactions if path.exists() else None
    from layering import pins

    return changing.run(ctx, verb, (transaction,), pins.pin(transaction, last, pinned=verb == "pin"), given)
