"""layer undo: take back what one transaction did."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli import changing
from cli.reading import journal_path

if TYPE_CHECKING:
    from layering.host import Decide


@click.command("undo", short_help="Take back what one transaction did.")
@click.argument("transaction", metavar="N|last|last-1")
@changing.preview
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, transaction: str, **given: Any) -> int:
    """Take back what transaction N did to requests, base and versions, on top of the present state.

    What came after it stays; where that makes it meaningless, it is refused with the reason. `layer redo N` does it
    again.
    """
    from layering import time_travel

    return run(ctx, "undo", transaction, time_travel.undo, given)


def run(ctx: click.Context, verb: str, text: str, operation: Callable[..., Decide], given: dict[str, Any]) -> int:
    """Undo or redo, as the verb says; recorded with the number of the transaction, however it was named."""
    from journal.store import Journal
    from projections import points
    from projections.errors import NoSuchPoint

    if not points.is_number(text):
        raise click.UsageError(f"{text!r} is no transaction: say N, last or last-1.")
    path, last = journal_path(ctx), 0
    if path.exists():
        journal = Journal.open(path)
        last = journal.transactions
        with contextlib.suppress(NoSuchPoint):  # which the verb itself is refused for, on the record
            text = str(points.number_of(journal, text))
    decide = operation(text, last, idempotent=given["idempotent"])
    return changing.run(ctx, verb, (text,), decide, given)
