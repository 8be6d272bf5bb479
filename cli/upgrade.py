"""layer upgrade: the newest base, and everything requested layered on it anew."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from cli import changing


@click.command("upgrade", short_help="Go to the newest base.")
@click.option("--check", is_flag=True, help="Only tell whether there is an upgrade; exit with 77 if not.")
@click.option("--preview", is_flag=True, help="Tell what an upgrade would change; exit with 77 if nothing.")
@click.option("--allow-downgrade", is_flag=True, help="Also go to a base that is older than the present one.")
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, check: bool, preview: bool, allow_downgrade: bool, **given: Any) -> int:
    """Go to the newest base of the refspec, with everything requested layered on it.

    Alias: update.
    """
    from layering import operations

    decide = operations.upgrade(allow_downgrade=allow_downgrade)
    given["allow_downgrade"] = allow_downgrade
    if not (check or preview):
        return changing.run(ctx, "upgrade", (), decide, given)
    from cli.foreseen import tell_available

    given |= {"dry_run": True, "unchanged_exit_77": True}
    return changing.run(ctx, "upgrade", (), decide, given, tell=partial(tell_available, packages=preview))
