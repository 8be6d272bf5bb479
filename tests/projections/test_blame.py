"""Blame, read backwards, agrees with a naive fold forwards at every position."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from journal.store import Draft, Journal
from journal.values import Package, Request
from projections.blame import blame
from projections.deeds import deeds
from projections.host import NOTHING, HostState
from tests.drafts import CONTEXT
from tests.projections.planned import history, layer, states


def stored(path: Path, targets: list[HostState | None]) -> Journal:
    journal = Journal.open_for_append(path)
    journal.append(
        [
            Draft(each.event_id, each.transaction_uuid, each.recorded_at, CONTEXT, each.payload)
            for each in history(targets)
        ]
    )
    return journal


@settings(max_examples=25)
@given(st.lists(st.none() | states(), min_size=1, max_size=8))
def test_it_agrees_with_a_fold_forwards_at_every_position(targets: list[HostState | None]) -> None:
    with TemporaryDirectory() as directory:
        journal = stored(Path(directory, "layer/journal.db"), targets)
        since: dict[Package, tuple[int, str]] = {}
        for deed in deeds(journal.events(), NOTHING):
            since = {
                each: since[each] if each in deed.before.packages else (deed.transaction, deed.recorded_at)
                for each in deed.after.packages
            }
            told = {each.package: (each.transaction, each.since) for each in blame(journal, deed.position)}
            assert told == {package.nevra: found for package, found in since.items()}
        journal.close()


def test_a_dependency_names_what_needs_it_and_a_capability_was_requested(tmp_path: Path) -> None:
    base = HostState("remote:branch", "1" * 64)
    packages = tuple(Package(f"{name}-1-1.x86_64", "c" * 64) for name in ("jq", "libjq", "vim"))
    target = HostState(
        "remote:branch",
        "1" * 64,
        requested=(Request("/usr/bin/vim"), Request("jq")),
        packages=packages,
        layered_commit="2" * 64,
        required_by={"libjq-1-1.x86_64": ("jq-1-1.x86_64",)},
    )
    found = {each.package: each for each in blame(stored(tmp_path / "layer/journal.db", [base, target]))}
    assert [name for name, each in found.items() if each.requested] == ["jq-1-1.x86_64", "vim-1-1.x86_64"]
    assert found["libjq-1-1.x86_64"].required_by == ("jq-1-1.x86_64",)
    assert {each.user for each in found.values()} == {"root"}


def test_an_upgraded_package_counts_from_the_transaction_that_brought_this_version(tmp_path: Path) -> None:
    def at(version: int) -> HostState:
        return HostState("remote:branch", "1" * 64, **layer(["jq", "vim"], {"jq": version}))  # type: ignore[arg-type]

    found = blame(stored(tmp_path / "layer/journal.db", [HostState("remote:branch", "1" * 64), at(1), at(2)]))
    assert [(each.package, each.transaction) for each in found] == [("jq-2-1.x86_64", 3), ("vim-1-1.x86_64", 2)]


def test_nothing_layered_or_nothing_recorded_is_nobodys_doing(tmp_path: Path) -> None:
    assert blame(Journal.open_for_append(tmp_path / "empty/journal.db")) == []
    assert blame(stored(tmp_path / "layer/journal.db", [HostState("remote:branch", "1" * 64)])) == []
