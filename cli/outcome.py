"""What is told of a changing verb's outcome, on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from cli.rendering import SHORT, count, package_lines, print_notes
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
from layering.result import Result
from projections.host import names

_THOUSAND = 1000
_QUEUED = 'Changes queued for next boot. Run "systemctl reboot" to start a reboot'


def tell(result: Result, *, preview: bool = False) -> None:
    """The outcome in a few lines: what changed, or would have, and what to do next.

    preview: nothing more was asked for than what would change.
    """
    print_notes(result.notes)
    if not result.changes:
        click.echo(result.message or "No change.")
        return
    told = [line for change in result.changes for line in lines(change, done=result.transaction is not None)]
    for line in told or _requests(result.changes):
        click.echo(line)
    if result.transaction is None:
        if not preview:
            click.echo("Exiting because of '--dry-run' option")
        return
    click.echo(f"Transaction {result.transaction.transaction} committed.")
    if result.staged:
        click.echo(_QUEUED)


def lines(change: Payload, *, done: bool = True) -> Iterator[str]:
    """What one event did, or would do."""
    match change:
        case BaseChanged():
            version = f" ({change.version})" if change.version else ""
            pinned = ", pinned until the next upgrade" if change.pinned_base else ""
            yield f"Base: {change.refspec} {change.commit[:SHORT]}{version}{pinned}"
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
            yield from _layer_lines(change, done)
        case _:
            yield from _upkeep_lines(change, done)


def _requests(changes: Iterable[Payload]) -> Iterator[str]:
    """What was asked for and taken back, where nothing else tells of it: the packages stay as they are."""
    for change in changes:
        if isinstance(change, RequestsChanged):
            words = [
                f"{sign}{name}" for sign, each in (("+", change.added), ("-", change.removed)) for name in names(each)
            ]
            yield f"Requested: {' '.join(words)}"


def _layer_lines(change: LayerCommitted, done: bool) -> Iterator[str]:
    added, removed = ([package.nevra for package in packages] for packages in (change.added, change.removed))
    upgraded, downgraded = (
        [f"{each.old.nevra} -> {each.new.nevra}" for each in replaced]
        for replaced in (change.upgraded, change.downgraded)
    )
    for past, present, packages in (
        ("Added", "Installing", added),
        ("Removed", "Removing", removed),
        ("Upgraded", "Upgrading", upgraded),
        ("Downgraded", "Downgrading", downgraded),
    ):
        if packages:
            yield f"{past}:" if done else f"{present} {len(packages)} packages:"
            yield from (f"  {package}" for package in packages)


def _upkeep_lines(change: Payload, done: bool) -> Iterator[str]:
    match change:
        case TransactionPinned():
            yield f"{'Pinned' if done else 'Pinning'} transaction {change.transaction}."
        case TransactionUnpinned():
            yield f"{'Unpinned' if done else 'Unpinning'} transaction {change.transaction}."
        case DeploymentsDropped():
            yield f"{'Dropped' if done else 'Dropping'} deployments:"
            yield from (f"  {deployment}" for deployment in change.deployments)
        case CommitsDropped():
            yield from _dropped(change, done)
        case CacheDropped():
            dropped = "Dropped" if done else "Dropping"
            yield f"{dropped} {change.cache}: {_size(change.bytes)} ({count(change.files, 'file')})"


def _dropped(change: CommitsDropped, done: bool) -> Iterator[str]:
    if change.packages:
        yield f"{'Dropped' if done else 'Dropping'} packages:"
        yield from (f"  {package.nevra}" for package in change.packages)
    counts = ((change.refs, "ref"), (change.commits, "commit"), (change.packages, "package"))
    kinds = ", ".join(count(len(each), what) for each, what in counts)
    freed = "Freed" if done else "Freeing"
    yield f"{freed}: {_size(change.bytes)} ({kinds}, {count(change.objects, 'object')})"


def _size(size: float) -> str:
    """A size in bytes for people, as GLib formats it: powers of ten."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < _THOUSAND:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _THOUSAND
    return f"{size:.1f} TB"
