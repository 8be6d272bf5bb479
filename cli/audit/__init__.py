"""layer audit: the auditor's desk."""

from __future__ import annotations

import click

from cli.main import Commands

COMMANDS: dict[str, str] = {}


@click.group("audit", short_help="The auditor's desk: check, prove, export.", cls=Commands, modules=COMMANDS)
def command() -> None:
    """Check the journal, sign and prove what it says, copy it out."""
