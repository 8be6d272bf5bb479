"""How verbs come to what the command line names and to the journal: without libostree, librpm or dnf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.main import Globals
from journal.store import Journal
from layering import stateroot


def osname(ctx: click.Context) -> str:
    """The stateroot that the command line names, else the booted one, else the only one."""
    chosen: Globals = ctx.obj
    return stateroot.choose(chosen.sysroot, chosen.stateroot)


def journal_path(ctx: click.Context) -> Path:
    """Where the journal of the chosen stateroot is, whether or not it exists."""
    chosen: Globals = ctx.obj
    if chosen.journal:
        return chosen.journal
    return stateroot.journal_path(chosen.sysroot, osname(ctx))


def open_journal(ctx: click.Context) -> Journal:
    """The journal of the chosen stateroot.

    Raises:
        JournalMissing: nothing was recorded on this host yet.
    """
    return Journal.open(journal_path(ctx))


def not_empty(ctx: click.Context, argument: click.Parameter, value: Any) -> Any:
    """The words of an argument or option without white space around them, for `callback=`.

    Raises:
        click.BadParameter: one is empty.
    """
    words = value if isinstance(value, tuple) else (value,)
    if any(word is not None and not word.strip() for word in words):
        raise click.BadParameter("it is empty.", ctx, argument)
    return tuple(word.strip() for word in value) if isinstance(value, tuple) else value and value.strip()
