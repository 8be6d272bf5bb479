"""layer search: look for packages in the repositories."""

from __future__ import annotations

from itertools import groupby

import click

from cli import changing, rendering
from cli.reading import not_empty
from journal.printable import printable


@click.command("search", short_help="Look for packages in the repositories.")
@click.argument("text", callback=not_empty)
@click.option("-C", "--cacheonly", is_flag=True, help="Use the metadata that is cached, however old; no network.")
@click.option("--json", "as_json", is_flag=True, help="Print the packages as JSON.")
@click.pass_context
def command(ctx: click.Context, text: str, cacheonly: bool, as_json: bool) -> None:
    """Look for TEXT in the names and summaries of the repositories' packages, in whatever case."""
    with changing.open_host(ctx).repositories(cacheonly=cacheonly) as resolver:
        found = resolver.search(text)
        notes = resolver.notes
    rendering.print_notes(notes)
    if as_json:
        rendering.print_json(found)
        return
    if not found:
        click.echo("No matches found.", err=True)
        return
    lines = []
    for matched, matches in groupby(found, key=lambda each: each.matched):
        title = " and ".join(word.capitalize() for word in matched.split(" and "))
        lines.append(click.style(f"===== {title} Matched =====", bold=True))
        lines += dict.fromkeys(printable(f"{each.name} : {each.summary}") for each in matches)
    rendering.print_lines(lines)
