"""What is told of a change that was only worked out: as JSON, and of an upgrade that is to be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import rendering
from cli.documents import Rehearsed
from cli.outcome import lines
from layering.nevra import compare
from projections.difference import difference
from projections.host import names
from projections.transactions import changes_of

if TYPE_CHECKING:
    from journal.values import Context
    from layering.result import Result
    from layering.transaction import Invocation


def document(context: Context, invocation: Invocation, result: Result) -> Rehearsed:
    """A dry run as `--json` prints it."""
    state = result.state
    return Rehearsed(
        verb=invocation.verb,
        arguments=invocation.arguments,
        recovered=False,
        finished_at=None,
        actor=context.actor,
        command_line=context.command_line,
        message=invocation.message,
        refspec=state.refspec,
        base_commit=state.base_commit,
        layered_commit=state.layered_commit,
        requested=names(state.requested),
        options=invocation.options,
        note=None if result.changes else result.message,
        **changes_of(result.changes),
    )


def tell_available(result: Result, *, packages: bool) -> None:
    """An upgrade that is to be had: its version and commit, and how much changes; with `packages`, what."""
    rendering.print_notes(result.notes)
    if not result.changes:
        click.echo(result.message)
        return
    state = result.state
    click.echo(click.style("AvailableUpdate:", bold=True))
    facts = (("Version", state.version), ("Commit", state.base_commit), ("Diff", _counts(result)))
    rendering.print_lines(rendering.fields(facts, "  "))
    if packages:
        for change in result.changes:
            for line in lines(change, done=False):
                click.echo(line)


def _counts(result: Result) -> str:
    """How many packages of base and layer differ, as `rpm-ostree upgrade --check` tells it."""
    packages = difference("", result.before, "", result.state, compare).packages
    kinds = ("upgraded", "downgraded", "removed", "added")
    return ", ".join(f"{len(found)} {kind}" for kind in kinds if (found := getattr(packages, kind))) or "no packages"
