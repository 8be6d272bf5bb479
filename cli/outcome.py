"""What is told of a changing verb's outcome, on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli.rendering import SHORT, package_lines
from journal.events import (
    BaseChanged,
    CacheDropped,
    CommitsDropped,
    DeploymentsDropped,
    LayerCommitted,
    Payload,
    RequestsChanged,
    TransactionPinned,
    TransactionUnpinned,
)
from journal.printable import printable
from layering.host import Result
from projections.host import names
from projections.transactions import package_changes

_THOUSAND = 1000
_QUEUED = 'Changes queued for next boot. Run "systemctl reboot" to start a reboot'


def tell(result: Result) -> None:
    """The outcome in a few lines: what changed, and what to do next."""
    for note in result.notes:
        click.echo(f"Note: {printable(note)}", err=True)
    if not result.changes:
        click.echo(result.message or "No change.")
        return
    for change in result.changes:
        for line in _lines(change):
            click.echo(line)
    if result.transaction is None:
        click.echo("Exiting because of '--dry-run' option")
        return
    click.echo(f"Transaction {result.transaction.transaction} committed.")
    if result.staged:
        click.echo(_QUEUED)


def rehearsed(result: Result) -> dict[str, Any]:
    """What would come of it, with the keys that the transaction would have."""
    state = result.state
    layers = [change for change in result.changes if isinstance(change, LayerCommitted)]
    packages = package_changes(layers[0]) if layers else {}
    return {
        "transaction": None,
        "dry_run": True,
        "outcome": None,
        "refspec": state.refspec,
        "base_commit": state.base_commit,
        "layered_commit": state.layered_commit,
        "requested": names(state.requested),
        **{key: packages.get(key, ()) for key in ("added", "removed", "upgraded", "downgraded")},
    }


def _lines(change: Payload) -> Iterator[str]:
    match change:
        case BaseChanged():
            version = f" ({change.version})" if change.version else ""
            yield f"Base: {change.refspec} {change.commit[:SHORT]}{version}"
            yield from package_lines(change.packages_added, change.packages_removed)
        case RequestsChanged():
            for request in change.absorbed:
                if request in change.added:
                    yield f"Note: package '{request.spec}' is in the base; it is requested, but not layered."
                else:
                    yield (
                        f"Note: package '{request.spec}' is already in the deployment; it will no longer be layered."
                    )
            for request in change.reinstated:
                yield f"Note: package '{request.spec}' is no longer in the base; it is layered again."
        case LayerCommitted():
            for title, packages in (("Added", change.added), ("Removed", change.removed)):
                if packages:
                    yield f"{title}:"
                    yield from (f"  {package.nevra}" for package in packages)
            for title, replaced in (("Upgraded", change.upgraded), ("Downgraded", change.downgraded)):
                if replaced:
                    yield f"{title}:"
                    yield from (f"  {each.old.nevra} -> {each.new.nevra}" for each in replaced)
        case _:
            yield from _upkeep_lines(change)


def _upkeep_lines(change: Payload) -> Iterator[str]:
    match change:
        case TransactionPinned():
            yield f"Pinned transaction {change.transaction}."
        case TransactionUnpinned():
            yield f"Unpinned transaction {change.transaction}."
        case DeploymentsDropped():
            yield "Dropped deployments:"
            yield from (f"  {deployment}" for deployment in change.deployments)
        case CommitsDropped():
            yield from _dropped(change)
        case CacheDropped():
            yield f"Dropped {change.cache}: {_size(change.bytes)} ({_count(change.files, 'file')})"


def _dropped(change: CommitsDropped) -> Iterator[str]:
    if change.packages:
        yield "Dropped packages:"
        yield from (f"  {package.nevra}" for package in change.packages)
    counts = ((change.refs, "ref"), (change.commits, "commit"), (change.packages, "package"))
    kinds = ", ".join(_count(len(each), what) for each, what in counts)
    yield f"Freed: {_size(change.bytes)} ({kinds}, {_count(change.objects, 'object')})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s'[: number != 1]}"


def _size(size: float) -> str:
    """A size in bytes for people, as GLib formats it: powers of ten."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.1f} TB"
