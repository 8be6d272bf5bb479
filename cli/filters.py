"""Which transactions to tell: the filters that `history` and the auditor's commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from cli.main import ALIASES
from cli.reading import not_empty
from projections import history, points

_OPTIONS = (
    click.option("--since", metavar="TIME", help="Started at TIME or later, e.g. 2026-11-20 or '2 hours ago'."),
    click.option("--until", metavar="TIME", help="Started at TIME or earlier."),
    click.option(
        "--package",
        metavar="GLOB",
        callback=not_empty,
        help="That asked for or changed a package of this name or NEVRA.",
    ),
    click.option("--user", metavar="NAME|UID", callback=not_empty, help="By this user, login or sudo user."),
    click.option("--verb", metavar="VERB", callback=not_empty, help="Of this verb."),
    click.option("--failed", is_flag=True, help="Failed, refused or interrupted."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The filters' options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(given: dict[str, Any]) -> history.Filter:
    """The filter that the options, by their names, say.

    Raises:
        BadPoint: a time that is none.
    """
    now = datetime.now().astimezone()
    since, until, verb = given["since"], given["until"], given["verb"]
    return history.Filter(
        since=None if since is None else points.instant(since, now),
        until=None if until is None else points.instant(until, now),
        package=given["package"],
        user=given["user"],
        verb=ALIASES.get(verb, verb) if verb else None,
        failed=given["failed"],
    )
