"""layer status: the deployments, now; or the state at a point of the history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli import rendering
from cli.documents import Deployment, JournalHead, Status
from cli.main import Globals
from cli.reading import journal_path, osname
from journal.store import Journal
from projections.host import HostState, names

if TYPE_CHECKING:
    from pathlib import Path

    from layering.sysroot import Sysroot

PENDING = 77
"""Exit code of --pending-exit-77 where a deployment is pending, as rpm-ostree's."""


@click.command("status", short_help="Show the deployments, now or at some point.")
@click.option("-v", "--verbose", is_flag=True, help="Checksums in full, what made each deployment, and the journal.")
@click.option("--as-of", metavar="N|TIME", help="The state after transaction N, or at an instant.")
@click.option("--pending-exit-77", is_flag=True, help="Exit with 77 where another deployment than the booted is next.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, verbose: bool, as_of: str | None, pending_exit_77: bool, as_json: bool) -> None:
    """The deployments, the one to be booted next first; ● marks the booted one."""
    if as_of and pending_exit_77:
        raise click.UsageError("--pending-exit-77 is about now, --as-of about then.")
    chosen: Globals = ctx.obj
    name, path = osname(ctx), journal_path(ctx)
    document = _now(chosen.sysroot, name, path) if as_of is None else _at_point(name, path, as_of)
    if as_json:
        rendering.print_json(document)
    else:
        journal = Journal.open(path) if verbose and path.exists() else None
        rendering.print_lines(_lines(document, verbose, journal))
    if pending_exit_77 and _is_pending(document):
        ctx.exit(PENDING)


def _is_pending(document: Status) -> bool:
    """Whether a deployment, staged or not, waits for the next boot of the running system."""
    first, *others = document.deployments or (None,)
    return first is not None and not first.booted and any(each.booted for each in others)


def _now(sysroot_path: Path, name: str, path: Path) -> Status:
    from layering import sync
    from layering.sysroot import Sysroot

    sysroot = Sysroot(sysroot_path, name)
    journal = Journal.open(path) if path.exists() else None
    deployments = []
    for number, deployment in enumerate(sysroot.deployments):
        state = sync.state_of(sysroot, deployment, journal, head=number == 0)
        deployments.append(
            _entry(
                state,
                id=deployment.id,
                commit=deployment.commit,
                booted=deployment.booted,
                staged=deployment.staged,
                pinned=deployment.pinned,
                transaction=sync.transaction_of(journal, deployment),
                base_timestamp=_timestamp(sysroot, state.base_commit),
            )
        )
    return Status(name, tuple(deployments), _journal(path, journal))


def _timestamp(sysroot: Sysroot, base_commit: str | None) -> str | None:
    """When the base commit was made, RFC 3339; None where it is not in the repository."""
    from layering.base_facts import base_facts
    from layering.errors import BaseError

    try:
        seconds = base_facts(sysroot.repo, base_commit or "").timestamp
    except BaseError:
        return None
    return rendering.instant(seconds)


def _at_point(name: str, path: Path, as_of: str) -> Status:
    """As of then there is one deployment to tell of: the head, as the events lead to it."""
    from projections import points

    journal = Journal.open(path)
    position = points.position_of(journal, as_of, datetime.now().astimezone())
    state = points.at(journal, position).host
    entries = []
    if state:
        head = {"id": state.deployment, "commit": state.commit, "transaction": state.transaction}
        entries.append(_entry(state, booted=False, staged=False, pinned=False, base_timestamp=None, **head))
    return Status(name, tuple(entries), _journal(path, journal, position))


def _entry(state: HostState, **found: Any) -> Deployment:
    return Deployment(
        base_commit=state.base_commit,
        refspec=state.refspec,
        version=state.version,
        requested=names(request for request in state.requested if not request.sha256),
        requested_local=names(request for request in state.requested if request.sha256),
        absorbed=names(state.absorbed),
        layered=tuple(sorted(package.nevra for package in state.packages)),
        pinned_base=state.pinned_base,
        **found,
    )


def _journal(path: Path, journal: Journal | None, position: int | None = None) -> JournalHead:
    if journal is None:
        from journal.merkle import EMPTY_ROOT

        return JournalHead(str(path), 0, 0, EMPTY_ROOT.hex())
    position = journal.position if position is None else position
    return JournalHead(str(path), position, journal.transactions_by(position), journal.root_hash_at(position).hex())


def _lines(document: Status, verbose: bool, journal: Journal | None) -> Iterator[str]:
    yield click.style(f"Stateroot: {document.stateroot}", bold=True)
    yield "Deployments:"
    for entry in document.deployments:
        mark = "●" if entry.booted else " "
        marks = "".join(f" ({name})" for name in ("staged", "pinned") if getattr(entry, name))
        yield click.style(f"{mark} {entry.refspec or '(no refspec)'}{marks}", bold=entry.booted)
        yield from rendering.fields(_facts(entry, verbose, journal), "    ")
    if not document.deployments:
        yield "  none"
    told = document.journal
    yield (f"Journal: {rendering.count(told.transactions, 'transaction')}, {rendering.count(told.events, 'event')}")
    if verbose:
        yield f"  {told.path}"
        yield f"  root hash {told.root_hash}"


def _facts(entry: Deployment, verbose: bool, journal: Journal | None) -> list[tuple[str, str | None]]:
    digits = None if verbose else rendering.SHORT
    layered = entry.commit if entry.commit != entry.base_commit else None
    made = f"({rendering.local_time(entry.base_timestamp)})" if entry.base_timestamp else ""
    return [
        ("Version", " ".join(filter(None, (entry.version, made)))),
        ("BaseCommit" if layered else "Commit", (entry.base_commit or "")[:digits]),
        ("LayeredCommit", layered and layered[:digits]),
        ("PinnedBase", "until the next upgrade" if entry.pinned_base else None),
        ("Requested", rendering.joined(entry.requested)),
        ("LocalPackages", rendering.joined(entry.requested_local)),
        ("Absorbed", rendering.joined(entry.absorbed)),
        ("Layered", rendering.joined(entry.layered)),
        ("Transaction", _transaction(entry.transaction, journal)),
        ("Deployment", entry.id if verbose else None),
    ]


def _transaction(number: int | None, journal: Journal | None) -> str | None:
    """The number; with the journal at hand also what it was, when and on whose word."""
    if number is None or journal is None:
        return None if number is None else str(number)
    from projections import points
    from projections.transactions import tell

    told = tell(points.events_of(journal, number))
    what = " ".join((told.verb, *told.arguments))
    return f"{number}, {what}, {rendering.local_time(told.started_at)} by {told.actor.user or told.actor.uid}"
