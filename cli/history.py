"""layer history: the transactions, newest first."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import click

from cli import filters, rendering
from cli.reading import journal_path
from projections.transactions import person

if TYPE_CHECKING:
    from projections.transactions import Transaction


@click.command("history", short_help="Show the transactions, newest first.")
@click.option("-n", "limit", type=click.IntRange(min=0), metavar="N", help="At most N transactions.")
@filters.options
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, /, *, limit: int | None, reverse: bool, as_json: bool, **given: Any) -> None:
    """The transactions, newest first: number, when, who, what, outcome, and what it altered."""
    from journal.store import Journal
    from projections import history

    wanted = filters.chosen(given)
    path = journal_path(ctx)
    # A host on which nothing was done yet has a history without transactions.
    told = list(history.newest_first(Journal.open(path), wanted, limit)) if path.exists() else []
    if reverse:
        told.reverse()
    if as_json:
        rendering.print_json(told)
    elif told:
        rendering.print_lines(rendering.table(_HEADER, [_row(each) for each in told], cut=(1,)))
    else:
        click.echo("No transactions.", err=True)


_HEADER = ("#", "What", "Outcome", "Altered", "When", "Who")


def _row(told: Transaction) -> tuple[str, ...]:
    actor = told.actor
    who = person(actor)
    if who != (actor.user or who):
        who = f"{who} ({actor.user})"
    return (
        str(told.transaction),
        " ".join((told.verb, *told.arguments)),
        rendering.outcome(told.outcome, told.recovered),
        _altered(told),
        rendering.local_time(told.started_at),
        who,
    )


def _altered(told: Transaction) -> str:
    """How many packages came, went and changed, of the layer and of the base: `+2 -1 ~3, base ~7`."""
    replaced, come, gone = rendering.paired(told.base_added, told.base_removed)
    layer = _counts(told.added, told.removed, (*told.upgraded, *told.downgraded))
    base = _counts(come, gone, replaced)
    return ", ".join(filter(None, (layer, base and f"base {base}")))


def _counts(added: Sized, removed: Sized, changed: Sized) -> str:
    counts = (("+", added), ("-", removed), ("~", changed))
    return " ".join(f"{sign}{len(packages)}" for sign, packages in counts if packages)
