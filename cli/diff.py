"""layer diff: how two states of the host differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli import rendering
from cli.main import Globals
from cli.reading import open_journal, osname
from layering.nevra import compare
from projections import points
from projections.difference import Difference, difference
from projections.errors import NoSuchPoint

if TYPE_CHECKING:
    from journal.store import Journal
    from projections.host import HostState

_INDEX = re.compile(r"deployment:(\d+)")
_DEPLOYMENT = re.compile(r".+-[0-9a-f]{64}\.\d+")


@click.command("diff", short_help="Show how two points of the history differ.")
@click.argument("a")
@click.argument("b", default="now")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, a: str, b: str, as_json: bool) -> None:
    """How the state at B differs from that at A: packages of base and layer, requests, base and refspec.

    A and B are transactions (N, last, last-1), times, `now`, or deployments (deployment:0, or the id that `status -v`
    shows). Without B: now. The state now is the one that the journal leads to; `layer sync` brings it up to date.
    """
    journal = open_journal(ctx)
    (from_, old), (to, new) = (_point(ctx, journal, each) for each in (a, b))
    found = difference(from_, old, to, new, compare)
    if as_json:
        rendering.print_json(found)
    else:
        rendering.print_lines(_lines(found))


def _point(ctx: click.Context, journal: Journal, text: str) -> tuple[int | str, HostState]:
    """What to call a point, and the state there. libostree is asked only for what the journal does not know."""
    number: int | None = None
    if _DEPLOYMENT.fullmatch(text):
        number = journal.deployed_in(text)
    elif not _INDEX.fullmatch(text):
        return points.state_at(journal, text, datetime.now().astimezone())
    if number:
        return points.state_at(journal, str(number), datetime.now().astimezone())
    return _deployment(ctx, journal, text)


def _deployment(ctx: click.Context, journal: Journal, text: str) -> tuple[int | str, HostState]:
    from layering import sync
    from layering.sysroot import Sysroot

    chosen: Globals = ctx.obj
    sysroot = Sysroot(chosen.sysroot, osname(ctx))
    index = _INDEX.fullmatch(text)
    for number, deployment in enumerate(sysroot.deployments):
        if text == deployment.id or (index and int(index[1]) == number):
            label = sync.transaction_of(journal, deployment) or deployment.id
            return label, sync.state_of(sysroot, deployment, journal, head=number == 0, inventory=True)
    raise NoSuchPoint(f"No deployment {text}: there are {len(sysroot.deployments)}, and the journal knows of none")


def _lines(found: Difference) -> Iterator[str]:
    changed = False
    for title, (old, new) in (("Refspec", found.refspec), ("Base commit", found.base_commit)):
        if old != new:
            changed = True
            yield f"{title}: {old or 'none'} -> {new or 'none'}"
    requested = ((found.requested.added, "+"), (found.requested.removed, "-"))
    if any(names for names, _ in requested):
        changed = True
        yield f"Requested: {' '.join(f'{sign}{name}' for names, sign in requested for name in names)}"
    packages = found.packages
    for title, lines in (
        ("Upgraded", [f"{old} -> {new}" for old, new in packages.upgraded]),
        ("Downgraded", [f"{old} -> {new}" for old, new in packages.downgraded]),
        ("Removed", packages.removed),
        ("Added", packages.added),
    ):
        if lines:
            changed = True
            yield f"{title}:"
            yield from (f"  {line}" for line in lines)
    if not changed:
        yield "No difference."
