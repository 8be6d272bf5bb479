"""layer unpin: let the commits of a transaction go with the next cleanup that has no other use for them."""

from __future__ import annotations

from typing import Any

import click

from cli import changing, pin


@click.command("unpin", short_help="Take a pin back.")
@click.argument("transaction", metavar="N|last|last-1")
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str, **given: Any) -> int:
    """Take back `layer pin N`, and libostree's pin of its deployment."""
    return pin.run(ctx, "unpin", transaction, given)
