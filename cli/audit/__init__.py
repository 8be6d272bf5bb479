"""layer audit: the auditor's desk."""

from __future__ import annotations

import click

from cli.main import Commands

COMMANDS: dict[str, str] = {
    "log": "cli.audit.log",
    "export": "cli.audit.export",
    "serve": "cli.audit.serve",
}


@click.group("audit", cls=Commands, modules=COMMANDS)
def command() -> None:
    """Check the journal, sign and prove what it says, copy it out."""
