"""layer audit: the auditor's desk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from cli.main import Commands, Globals
from cli.paths import GivenPath

COMMANDS = {
    "log": "cli.audit.log",
    "verify": "cli.audit.verify",
    "checkpoint": "cli.audit.checkpoint",
    "prove": "cli.audit.prove",
    "export": "cli.audit.export",
    "serve": "cli.audit.serve",
}


@click.group("audit", short_help="The auditor's desk: check, prove, export.", cls=Commands, modules=COMMANDS)
@click.option(
    "--journal",
    type=GivenPath(),
    metavar="FILE",
    help="A journal, or a copy of one, instead of the stateroot's; its keys are looked for beside it.",
)
@click.pass_context
def command(ctx: click.Context, journal: Path | None) -> None:
    """Check the journal, sign and prove what it says, copy it out."""
    chosen: Globals = ctx.obj
    if journal:
        ctx.obj = dataclasses.replace(chosen, journal=journal)
