"""layer pin: keep the commits of a transaction."""

from __future__ import annotations

from typing import Any

import click

from cli import changing


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
    from projections import points

    if not points.is_number(transaction):
        raise click.UsageError(f"{transaction!r} is no transaction: say N, last or last-1.")
    from layering import pins

    decide = pins.pin(transaction, changing.newest_transaction(ctx), pinned=verb == "pin")
    return changing.run(ctx, verb, (transaction,), decide, given)
