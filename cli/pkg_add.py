"""layer pkg-add: request packages and layer them on the present base."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from cli.reading import not_empty


@click.command("pkg-add", short_help="Request packages and layer them on the base.")
@click.argument("packages", metavar="PKG|CAPABILITY|FILE.rpm...", nargs=-1, required=True, callback=not_empty)
@click.option(
    "--uninstall",
    metavar="PKG",
    multiple=True,
    callback=not_empty,
    help="Take this request back in the same transaction.",
)
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, packages: tuple[str, ...], uninstall: tuple[str, ...], **given: Any) -> int:
    """Request packages and layer them on the base.

    Names, capabilities and paths come from the repositories; a FILE.rpm is layered as it is. The base does not move,
    and what is layered already keeps its version. Aliases: install, add.
    """
    from layering import operations

    decide = operations.pkg_add(
        packages, idempotent=given["idempotent"], allow_inactive=given["allow_inactive"], uninstall=uninstall
    )
    return changing.run(ctx, "pkg-add", packages, decide, {**given, "uninstall": uninstall})
