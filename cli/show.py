"""layer show: one transaction whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cli import rendering
from cli.documents import Shown, ShownEvent
from cli.reading import open_journal
from journal.events import JournalReplayed, LayerCommitted
from journal.values import Package
from projections import points
from projections.transactions import Failure, Transaction, tell

if TYPE_CHECKING:
    from journal.store import Journal


@click.command("show", short_help="Show one transaction whole.")
@click.argument("transaction", metavar="[N|last|last-1]", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, transaction: str, as_json: bool) -> None:
    """Show one transaction: who, when, why, what it changed, and its events."""
    journal = open_journal(ctx)
    number = points.named(journal, transaction)
    if as_json:
        rendering.print_json(document(journal, number))
    else:
        rendering.print_lines(_lines(journal, number))


def document(journal: Journal, number: int) -> Shown:
    """The transaction as `layer show --json` prints it."""
    events = points.events_of(journal, number)
    shown = tuple(
        ShownEvent(
            position=event.position,
            event_id=event.event_id,
            type=event.type,
            version=event.version,
            recorded_at=event.recorded_at,
            payload=_recorded(event.payload),
        )
        for event in events
    )
    return Shown(**msgspec.structs.asdict(tell(events)), events=shown)


def _recorded(payload: object) -> object:
    """A payload as it was recorded; one that is not understood is shown all the same."""
    return payload.payload if hasattr(payload, "payload") else payload


def _lines(journal: Journal, number: int) -> Iterator[str]:
    events = points.events_of(journal, number)
    told = tell(events)
    yield click.style(f"Transaction {number}", bold=True) + f"  {rendering.outcome(told.outcome, told.recovered)}"
    yield from rendering.fields([*_facts(told), ("Replayed", _source(events))], "  ")
    checksums = _checksums(events)
    for title, packages in (
        ("Added", told.added),
        ("Removed", told.removed),
        ("Upgraded", [f"{old} -> {new}" for old, new in told.upgraded]),
        ("Downgraded", [f"{old} -> {new}" for old, new in told.downgraded]),
        ("Absorbed by the base", told.absorbed),
        ("No longer in the base, layered again", told.reinstated),
    ):
        if packages:
            yield f"{title}:"
            yield from (f"  {each}{checksums.get(each, '')}" for each in packages)
    if told.base_added or told.base_removed:
        yield "Packages of the base:"
        yield from rendering.package_lines(told.base_added, told.base_removed)
    yield "Events:"
    for event in events:
        yield f"  {event.position}  {rendering.local_time(event.recorded_at)}  {event.type}"


def _facts(told: Transaction) -> list[tuple[str, str | None]]:
    actor = told.actor
    login = f" (login {actor.login_user})" if actor.login_user and actor.login_user != actor.user else ""
    invoker = f" through {actor.invoked_by}" if actor.invoked_by else ""
    started = rendering.local_time(told.started_at)
    return [
        ("Command", told.command_line),
        ("Message", told.message),
        ("Started", started),
        ("Finished", told.finished_at and rendering.local_time(told.finished_at)),
        ("User", f"{actor.user or actor.uid}{login}{invoker}"),
        ("Terminal", actor.tty),
        ("Unit", actor.unit),
        ("Error", _error(told.error) if told.error else None),
        ("Note", told.note),
        ("Refspec", told.refspec),
        ("Base commit", told.base_commit),
        ("Layered commit", told.layered_commit),
        ("Requested", rendering.joined(told.requested)),
        ("Deployment", told.deployment),
        ("UUID", told.uuid),
    ]


def _error(error: Failure) -> str:
    """The message, its kind at the end of the first line: what follows is a script's output."""
    first, line_end, rest = error.message.partition("\n")
    return f"{first} [{error.kind}]{line_end}{rest}"


def _source(events: list[Any]) -> str | None:
    """Which journal a replay went by, and how far."""
    for event in events:
        if isinstance(event.payload, JournalReplayed):
            said = event.payload
            return f"transaction {said.transaction} of {said.machine_id or 'a host'}, root hash {said.root_hash}"
    return None


def _checksums(events: list[Any]) -> dict[str, str]:
    """What to add to a package's line, or to that of a change: checksums and repository, as recorded."""
    found: dict[str, str] = {}
    for event in events:
        if isinstance(layer := event.payload, LayerCommitted):
            found |= {each.nevra: f"  {said}" for each in (*layer.added, *layer.removed) if (said := _provenance(each))}
            for change in (*layer.upgraded, *layer.downgraded):
                was = f"was sha256:{change.old.sha256}" if change.old.sha256 else ""
                said = ", ".join(filter(None, (_provenance(change.new), was)))
                found[f"{change.old.nevra} -> {change.new.nevra}"] = f"  {said}" if said else ""
    return found


def _provenance(package: Package) -> str:
    """The package's checksum and where it came from; empty where the checksum is not known."""
    origin = f" from {package.repository}" if package.repository else ""
    return f"sha256:{package.sha256}{origin}" if package.sha256 else ""
