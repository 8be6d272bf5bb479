"""layer redo: do again what one transaction did."""

from __future__ import annotations

from typing import Any

import click

from cli import changing, undo


@click.command("redo", short_help="Do again what one transaction did.")
@click.argument("transaction", metavar="N|last|last-1")
@changing.preview
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str, **given: Any) -> int:
    """Do again what transaction N did to requests, base and versions, on top of the present state.

    Most often after `layer undo N`. Where what came since makes it meaningless, it is refused with the reason.
    """
    from layering import time_travel

    return undo.run(ctx, "redo", transaction, time_travel.redo, given)
