"""layer replay: this host brought to the state that another journal describes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cli import changing
from cli.paths import GivenPath


@click.command("replay", short_help="Bring this host to another host's state.")
@click.argument("journal", metavar="JOURNAL", type=GivenPath())
@click.option("--to", metavar="N|TIME", help="The state after that transaction of JOURNAL, or at that instant.")
@changing.preview
@changing.flags
@click.pass_context
def command(ctx: click.Context, /, journal: Path, to: str | None, **given: Any) -> int:
    """Bring this host to the state that another host's JOURNAL describes, to the same commit checksum.

    The base is pulled by its checksum: its remote has to be configured. Packages come from the repositories, by the
    checksums that JOURNAL recorded. What can't be had is listed, and nothing changes.
    """
    from journal.store import Journal
    from layering import time_travel
    from projections import points

    other = Journal.open(journal)
    position = other.position if to is None else points.position_of(other, to, datetime.now().astimezone())
    decide = time_travel.replay(other, position)
    return changing.run(ctx, "replay", (str(journal),), decide, {**given, "to": to})
