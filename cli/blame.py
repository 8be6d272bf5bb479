"""layer blame: which transaction brought each layered package, on whose word, and why."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase

import click

from cli import rendering
from cli.reading import not_empty, open_journal
from projections import blame, points
from projections.errors import NoSuchPackage
from projections.packages import name_arch


@click.command("blame", short_help="Show which transaction brought each package.")
@click.argument("packages", metavar="[PKG...]", nargs=-1, callback=not_empty)
@click.option("--as-of", metavar="N|TIME", help="Of the state after transaction N, or at an instant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, packages: tuple[str, ...], as_of: str | None, as_json: bool) -> None:
    """For each layered package: the transaction that brought it, by whom, since when, and why it is there.

    PKG is a name, a NEVRA or a pattern. A package that was upgraded counts from then on.
    """
    journal = open_journal(ctx)
    position = None if as_of is None else points.position_of(journal, as_of, datetime.now().astimezone())
    found = blame.blame(journal, position)
    if packages:
        found = _chosen(found, packages)
    if as_json:
        rendering.print_json(found)
    elif found:
        rendering.print_lines(rendering.table(_HEADER, [_row(each) for each in found], cut=(5, 0)))
    else:
        click.echo("No packages are layered.", err=True)


_HEADER = ("Package", "#", "What", "Since", "Who", "Why")


def _row(each: blame.Blamed) -> tuple[str, ...]:
    needed = f"needed by {', '.join(name_arch(nevra)[0] for nevra in each.required_by)}" if each.required_by else ""
    why = ", ".join(filter(None, ("requested" if each.requested else "", needed)))
    return each.package, str(each.transaction), each.verb, rendering.local_time(each.since), each.user, why


def _chosen(found: list[blame.Blamed], patterns: tuple[str, ...]) -> list[blame.Blamed]:
    names = {each.package: (each.package, name_arch(each.package)[0]) for each in found}
    unknown = [
        pattern
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for each in names.values() for name in each)
    ]
    if unknown:
        raise NoSuchPackage(f"Packages not layered: {', '.join(unknown)}")
    return [each for each in found if any(fnmatchcase(name, one) for name in names[each.package] for one in patterns)]
