"""layer cleanup: drop what nothing needs any longer."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from projections import retention


@click.command("cleanup", short_help="Drop what nothing needs any longer.")
@click.option("-p", "--pending", is_flag=True, help="Drop deployments that wait to be booted.")
@click.option("-r", "--rollback", is_flag=True, help="Drop deployments to roll back to.")
@click.option("-b", "--base", is_flag=True, help="Drop commits and packages that the history needs no more.")
@click.option("-m", "--repomd", is_flag=True, help="Drop the cached metadata of package repositories.")
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    metavar="K",
    envvar="LAYER_KEEP",
    default=retention.LAST,
    show_default=True,
    help="How many transactions keep their commits.",
)
@changing.flags_but("-m", "-r")
@click.pass_context
def command(
    ctx: click.Context, /, *, pending: bool, rollback: bool, base: bool, repomd: bool, keep: int, **given: Any
) -> int:
    """Drop what nothing needs any longer, and say what that frees.

    What is booted, and what is pinned, always stays. So do the commits of the last K transactions.
    """
    chosen = {"pending": pending, "rollback": rollback, "base": base, "repomd": repomd}
    if not any(chosen.values()):
        raise click.UsageError("At least one cleanup operation must be specified")
    from layering.cleanup import What, cleanup

    what = What(pending, rollback, base, repomd, keep)
    options = chosen | ({"keep": keep} if base else {})
    return changing.run(ctx, "cleanup", (), cleanup(what), given | options)
