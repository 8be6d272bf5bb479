"""layer sync: record what other tools did, recover what was cut off."""

from __future__ import annotations

import click

from cli import changing, rendering


@click.command("sync", short_help="Record what other tools did.")
@click.option("--json", "as_json", is_flag=True, help="Print the recorded transactions as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Record what other tools did to this host, and what became of transactions that were cut off.

    Every changing verb does this first.
    """
    host = changing.open_host(ctx)
    transactions = host.sync()
    if as_json:
        rendering.print_json(transactions)
        return
    if not transactions:
        click.echo("The journal and the host agree.")
    for each in transactions:
        recovered = " (recovered)" if each.recovered else ""
        click.echo(f"{each.transaction}: {each.verb} {each.outcome}{recovered}")
