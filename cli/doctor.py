"""layer doctor: the journal against the host."""

from __future__ import annotations

import click

from cli import changing, rendering
from cli.main import DIFFERENCE
from journal.printable import printable


@click.command("doctor", short_help="Compare the journal with the host.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Compare the journal with the host: every difference, with its remedy. Nothing is changed.

    The journal is checked as `layer audit verify` does, and every object of the package cache is read.

    Exit code 3 if anything differs.
    """
    from layering.diagnosis import diagnose

    host = changing.open_host(ctx)
    problems = diagnose(host.sysroot, host.journal_path, host.clock())
    if as_json:
        rendering.print_json(problems)
    elif not problems:
        click.echo("The journal and the host agree.")
    for each in problems if not as_json else ():
        click.echo(f"{click.style(each.kind, fg='red')}: {printable(each.message, keep=chr(10))}")
        click.echo(f"  {each.remedy}")
    return DIFFERENCE if problems else 0
