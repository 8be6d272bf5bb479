"""layer rebase: follow another refspec."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from cli.reading import not_empty


@click.command("rebase", short_help="Follow another refspec.")
@click.argument("refspec", callback=not_empty)
@click.argument("revision", required=False, callback=not_empty)
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, refspec: str, revision: str | None, **given: Any) -> int:
    """Follow another refspec (REMOTE:BRANCH, or a local branch), with everything requested layered on it.

    REVISION, a version or a checksum on that branch, pins the base until the next upgrade.
    """
    from layering import operations

    arguments = (refspec, revision) if revision else (refspec,)
    return changing.run(ctx, "rebase", arguments, operations.rebase(refspec, revision), given)
