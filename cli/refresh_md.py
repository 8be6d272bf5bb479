"""layer refresh-md: fetch the metadata of the package repositories anew."""

from __future__ import annotations

import click

from cli import changing, rendering
from cli.documents import RepositoryMetadata


@click.command("refresh-md", short_help="Fetch the repositories' metadata anew.")
@click.option("-f", "--force", is_flag=True, help="Accepted for habit's sake: metadata is always fetched anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the repositories as JSON.")
@click.pass_context
def command(ctx: click.Context, force: bool, as_json: bool) -> None:
    """Fetch the metadata of all enabled repositories, however young what is cached is."""
    with changing.open_host(ctx).repositories() as resolver:
        found = resolver.refresh()
        notes = resolver.notes
    rendering.print_notes(notes)
    if as_json:
        rendering.print_json(
            [RepositoryMetadata(each.id, rendering.instant(each.generated), each.packages) for each in found]
        )
        return
    if not found:
        click.echo("No package repositories are enabled.", err=True)
        return
    rows = [(each.id, rendering.instant(each.generated), f"{each.packages:,}") for each in found]
    rendering.print_lines(rendering.table(("Repository", "Generated", "Packages"), rows))
