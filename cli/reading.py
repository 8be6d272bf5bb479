"""How reading verbs come to the journal: without libostree, librpm or dnf."""

from __future__ import annotations

from pathlib import Path

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
