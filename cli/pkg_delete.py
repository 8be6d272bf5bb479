"""layer pkg-delete: take requests back."""

from __future__ import annotations

from typing import Any

import click

from cli import changing
from cli.reading import not_empty


@click.command("pkg-delete", short_help="Take requests back.")
@click.argument("packages", metavar="[PKG...]", nargs=-1, callback=not_empty)
@click.option("--all", "everything", is_flag=True, help="Take all requests back.")
@click.option(
    "--install", metavar="PKG", multiple=True, callback=not_empty, help="Request this in the same transaction."
)
@changing.flags
@click.pass_context
def command(
    ctx: click.Context, /, packages: tuple[str, ...], everything: bool, install: tuple[str, ...], **given: Any
) -> int:
    """Take requests back; needs no network, unless something is installed in their place.

    A package is named as it was requested; a local RPM by its name or NEVRA. Aliases: uninstall, remove.
    """
    if bool(packages) == everything:
        raise click.UsageError("Name the requests to take back, or say --all.")
    from layering import operations

    decide = operations.pkg_delete(
        packages,
        everything=everything,
        idempotent=given["idempotent"] or everything,
        allow_inactive=given["allow_inactive"],
        install=install,
    )
    return changing.run(ctx, "pkg-delete", packages, decide, {**given, "everything": everything, "install": install})
