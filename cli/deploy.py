"""layer deploy: a certain version of the base."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from cli.reading import not_empty


@click.command("deploy", short_help="Go to a certain version of the base.")
@click.argument("revision", callback=not_empty)
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, revision: str, **given: Any) -> int:
    """Pin the base to REVISION, a version or checksum of the refspec, until the next upgrade.

    Everything requested is layered on it. `version=V` and `revision=CHECKSUM` are understood as well.
    """
    from layering import operations

    return changing.run(ctx, "deploy", (revision,), operations.deploy(revision), given)
