"""layer upgrade: the newest base, and everything requested layered on it anew."""

from __future__ import annotations

from typing import Any

import click

from cli import changing


@click.command("upgrade")
@click.option("--check", is_flag=True, help="Only tell whether there is an upgrade; exit with 77 if not.")
@click.option("--preview", is_flag=True, help="Tell what an upgrade would change; exit with 77 if nothing.")
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, check: bool, preview: bool, **given: Any) -> int:
    """Go to the newest base of the refspec, with everything requested layered on it.

    Alias: update.
    """
    from layering import operations

    if check or preview:
        given |= {"dry_run": True, "unchanged_exit_77": True}
    return changing.run(ctx, "upgrade", (), operations.upgrade(), given)
