"""A long journal, as a host would have it after years: made by `Journal.append`, with heads and snapshots as in use."""

from __future__ import annotations

from pathlib import Path

from journal import heads
from journal.events import (
    OUTCOMES,
    BaseChanged,
    DeploymentObserved,
    LayerCommitted,
    RequestsChanged,
    TransactionCommitted,
    TransactionPrepared,
    TransactionRefused,
    TransactionStarted,
)
from journal.store import KEPT_FRACTION, Draft, Journal
from journal.values import Package, Request, Summary
from projections import points
from projections.host import Projection, apply
from tests.drafts import DraftMaker

BASE_PACKAGES, UPGRADED, UPGRADES_EACH = 1500, 30, 20
REFSPEC = "fedora:40/x86_64/silverblue"


def make_journal(path: Path, events: int | None = None, transactions: int | None = None) -> None:
    """A history of so many events, or transactions, of a host with 1,500 packages in its base.

    Of twenty transactions ten are refused, nine swap a layered package for another, one upgrades 30 of the base.
    """
    journal, draft = Journal.open_for_append(path), DraftMaker()
    projection, number, batch = Projection(), 0, adoption(draft)
    while (events and journal.position + len(batch) < events) or (transactions and number < transactions):
        number += 1
        batch += transaction(draft, number)
        # Heads are kept once in 1/64 of the history: appending that much at once keeps as many as in use.
        if len(batch) > journal.position // KEPT_FRACTION:
            projection, batch = append(journal, batch, projection), []
    append(journal, batch, projection)
    journal.update_search()
    journal.close()


def append(journal: Journal, batch: list[Draft], projection: Projection) -> Projection:
    """Append all of this at once, and keep the snapshots that would have been kept meanwhile."""
    for event in journal.append(batch):
        projection = apply(projection, event)
        if isinstance(event.payload, OUTCOMES):
            points.keep_snapshot(journal, projection)
    if journal.head() is None:
        heads.sign_head(journal)
    return projection


def adoption(draft: DraftMaker) -> list[Draft]:
    uuid = draft.uuid()
    base = tuple(in_base(number, 1) for number in range(BASE_PACKAGES))
    observed = DeploymentObserved(
        "os-" + "a" * 64 + ".0", "a" * 64, "a" * 64, REFSPEC, version="40.1", base_packages=base
    )
    return [draft(uuid, TransactionStarted("adopt")), draft(uuid, observed), draft(uuid, TransactionCommitted())]


def transaction(draft: DraftMaker, number: int) -> list[Draft]:
    uuid = draft.uuid()
    name = f"package-{number % 40}"
    before = Summary(REFSPEC, "a" * 64, "b" * 64, ("jq", "strace", "vim"))
    upgrades = number % UPGRADES_EACH == 1
    started = TransactionStarted("upgrade" if upgrades else "pkg-add", () if upgrades else (name,), before=before)
    if number % 2 == 0:
        refused = TransactionRefused("packages-not-found", f"Packages not found: {name}")
        return [draft(uuid, started), draft(uuid, refused)]
    changed = upgrade(number // UPGRADES_EACH) if upgrades else RequestsChanged(added=(Request(name),))
    origin = f"[origin]\nbaserefspec={REFSPEC}\n[packages]\nrequested={name};\n[layer]\ntransaction={uuid}\n"
    layer = LayerCommitted(
        f"{number:064x}", "a" * 64, f"{number + 1:064x}", added=(package(number),), removed=(package(number - 20),)
    )
    return [
        draft(uuid, started),
        draft(uuid, changed),
        draft(uuid, layer),
        draft(uuid, TransactionPrepared(layer.commit, origin)),
        draft(uuid, TransactionCommitted(f"os-{layer.commit}.0")),
    ]


def upgrade(number: int) -> BaseChanged:
    """The next 30 of the packages of the base, from the version that each has to the next."""
    rounds = BASE_PACKAGES // UPGRADED
    first, version = number % rounds * UPGRADED, number // rounds + 1
    packages = range(first, first + UPGRADED)
    return BaseChanged(
        REFSPEC,
        f"{number:064x}",
        f"40.{number}",
        packages_added=tuple(in_base(each, version + 1) for each in packages),
        packages_removed=tuple(in_base(each, version) for each in packages),
    )


def in_base(number: int, version: int) -> str:
    return f"system-component-{number:04}-{version}.2.3-4.fc40.x86_64"


def package(number: int) -> Package:
    return Package(f"package-{number % 40}-{number}.0-1.x86_64", f"{number:064x}", "updates", "0123456789abcdef")
