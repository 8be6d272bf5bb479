"""layer status: the deployments, now; or the state at a point of the history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli import rendering
from cli.main import Globals
from journal.store import Journal
from layering import stateroot
from projections.host import HostState, names

if TYPE_CHECKING:
    from pathlib import Path


@click.command("status")
@click.option("-v", "--verbose", is_flag=True, help="Checksums in full, and the journal.")
@click.option("--as-of", metavar="N|TIME", help="The state after transaction N, or at an instant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, verbose: bool, as_of: str | None, as_json: bool) -> None:
    """The deployments, the one to be booted next first; ● marks the booted one."""
    chosen: Globals = ctx.obj
    osname = stateroot.choose(chosen.sysroot, chosen.stateroot)
    path = stateroot.journal_path(chosen.sysroot, osname)
    document = _at_point(osname, path, as_of) if as_of else _now(chosen.sysroot, osname, path)
    if as_json:
        rendering.print_json(document)
    else:
        rendering.print_lines(_lines(document, verbose))


def _now(sysroot_path: Path, osname: str, path: Path) -> dict[str, Any]:
    from layering import sync
    from layering.sysroot import Sysroot

    sysroot = Sysroot(sysroot_path, osname)
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
            )
        )
    return {"stateroot": osname, "deployments": deployments, "journal": _journal(path, journal)}


def _at_point(osname: str, path: Path, as_of: str) -> dict[str, Any]:
    """As of then there is one deployment to tell of: the head, as the events lead to it."""
    from projections import points

    journal = Journal.open(path)
    position = points.position_of(journal, as_of, datetime.now().astimezone())
    state = points.at(journal, position).host
    entries = []
    if state:
        head = {"id": state.deployment, "commit": state.commit, "transaction": state.transaction}
        entries.append(_entry(state, booted=False, staged=False, pinned=False, **head))
    return {"stateroot": osname, "deployments": entries, "journal": _journal(path, journal, position)}


def _entry(state: HostState, **found: Any) -> dict[str, Any]:
    return {
        "id": found["id"],
        "commit": found["commit"],
        "base_commit": state.base_commit,
        "refspec": state.refspec,
        "version": state.version,
        "booted": found["booted"],
        "staged": found["staged"],
        "pinned": found["pinned"],
        "requested": names(request for request in state.requested if not request.sha256),
        "requested_local": names(request for request in state.requested if request.sha256),
        "absorbed": names(state.absorbed),
        "layered": sorted(package.nevra for package in state.packages),
        "transaction": found["transaction"],
        "pinned_base": state.pinned_base,
    }


def _journal(path: Path, journal: Journal | None, position: int | None = None) -> dict[str, Any]:
    if journal is None:
        from journal.merkle import EMPTY_ROOT

        return {"path": str(path), "events": 0, "transactions": 0, "root_hash": EMPTY_ROOT.hex()}
    position = journal.position if position is None else position
    return {
        "path": str(path),
        "events": position,
        "transactions": journal.transactions_by(position),
        "root_hash": journal.root_hash_at(position).hex(),
    }


def _lines(document: dict[str, Any], verbose: bool) -> Iterator[str]:
    yield click.style(f"Stateroot: {document['stateroot']}", bold=True)
    yield "Deployments:"
    for entry in document["deployments"]:
        mark = "●" if entry["booted"] else " "
        marks = "".join(f" ({name})" for name in ("staged", "pinned") if entry[name])
        yield click.style(f"{mark} {entry['refspec']}{marks}", bold=entry["booted"])
        yield from rendering.fields(_facts(entry, verbose), "    ")
    if not document["deployments"]:
        yield "  none"
    journal = document["journal"]
    yield f"Journal: {journal['transactions']} transactions, {journal['events']} events"
    if verbose:
        yield f"  {journal['path']}"
        yield f"  root hash {journal['root_hash']}"


def _facts(entry: dict[str, Any], verbose: bool) -> list[tuple[str, str | None]]:
    digits = None if verbose else rendering.SHORT
    layered = entry["commit"] != entry["base_commit"]
    pin = " (pinned until the next upgrade)" if entry["pinned_base"] else ""
    return [
        ("Version", entry["version"] and f"{entry['version']}{pin}"),
        ("BaseCommit" if layered else "Commit", (entry["base_commit"] or "")[:digits]),
        ("LayeredCommit", entry["commit"][:digits] if layered else None),
        ("Requested", rendering.joined(entry["requested"])),
        ("LocalPackages", rendering.joined(entry["requested_local"])),
        ("Absorbed", rendering.joined(entry["absorbed"])),
        ("Layered", rendering.joined(entry["layered"])),
        ("Transaction", str(entry["transaction"]) if entry["transaction"] else None),
        ("Deployment", entry["id"] if verbose else None),
    ]
