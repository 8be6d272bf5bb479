"""Rollback: to the previous deployment, to any transaction, to any instant; what was, exactly."""

from __future__ import annotations

import pytest

from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import between, refused, settled, unchanged
from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAR, FOO, FOO_LIBS, NOWHERE, Repository


@pytest.fixture(scope="module")
def original(shared: Shared) -> Host:
    host = shared.host
    host.ok("pkg-add", "foo")
    host.ok("pkg-add", "bar")
    host.ok("pkg-delete", "foo")
    host.ok("pkg-delete", "bar")
    return host


@pytest.fixture
def travelled(original: Host, copy_host: CopyHost) -> Host:
    """1 adopt, 2 add foo, 3 add bar, 4 delete foo, 5 delete bar."""
    return copy_host(original)


def test_rollback_goes_to_the_previous_deployment(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    host.ok("rollback")
    assert host.commit_of() == bare
    assert host.current()["requested"] == []
    assert host.last()["verb"] == "rollback"


def test_a_second_rollback_undoes_the_first(host: Host) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    host.ok("rollback")
    host.ok("rollback")
    assert host.commit_of() == layered
    assert host.current()["requested"] == ["foo"]
    assert host.current()["layered"] == [FOO]


def test_a_rollback_is_a_new_transaction_and_deletes_none(host: Host) -> None:
    host.ok("pkg-add", "foo")
    before = host.history()
    host.ok("rollback")
    assert host.history()[:-1] == before
    assert host.last()["transaction"] == 3
    assert host.current()["transaction"] == 3


def test_the_next_change_starts_from_what_was_gone_back_to(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("rollback")
    host.ok("pkg-add", "bar")
    assert host.current()["requested"] == ["bar"]
    assert host.current()["layered"] == [BAR, FOO_LIBS]


def test_without_a_previous_deployment_there_is_nothing_to_go_back_to(host: Host) -> None:
    result = refused(host, "rollback")
    assert "No rollback deployment found" in result.stderr


@pytest.mark.parametrize(("number", "requested"), [(1, []), (2, ["foo"]), (3, ["bar", "foo"]), (4, ["bar"])])
def test_rollback_n_goes_to_the_state_after_transaction_n(travelled: Host, number: int, requested: list[str]) -> None:
    then = travelled.history()[number - 1]
    travelled.ok("rollback", str(number))
    assert travelled.current()["requested"] == requested
    assert travelled.current()["base_commit"] == then["base_commit"]
    assert travelled.commit_of() == (then["layered_commit"] or then["base_commit"])


def test_rollback_last_1_counts_from_the_end(travelled: Host) -> None:
    travelled.ok("rollback", "last-1")
    assert travelled.current()["requested"] == ["bar"]


def test_rollback_to_a_time_goes_to_the_last_transaction_finished_by_then(travelled: Host) -> None:
    entries = travelled.history()
    travelled.ok("rollback", "--to", between(entries[2], entries[3]))
    assert travelled.current()["requested"] == ["bar", "foo"]
    assert travelled.commit_of() == entries[2]["layered_commit"]


def test_rollback_goes_back_over_upgrades_and_rebases(host: Host, base: BaseTree, repository: Repository) -> None:
    first = host.commit_of()
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    repository.build("foo", "2.0", files={"/usr/bin/foo": "foo 2\n"})
    repository.publish()
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    base.commit("os/next", "1")
    host.ok("rebase", "test:os/next")
    assert host.current()["layered"] == ["foo-2.0-1.noarch"]
    host.ok("rollback", "2")
    assert host.commit_of() == layered
    current = host.current()
    assert (current["refspec"], current["base_commit"], current["layered"]) == ("test:os/stable", first, [FOO])


def test_rollback_brings_back_what_was_absorbed_then(host: Host, base: BaseTree, repository: Repository) -> None:
    host.ok("pkg-add", "foo")
    base.with_packages([repository.directory / f"{FOO}.rpm"]).commit(BRANCH, "2")
    host.ok("upgrade")
    base.commit(BRANCH, "3")
    host.ok("upgrade")
    assert (host.current()["requested"], host.current()["absorbed"]) == (["foo"], [])
    host.ok("rollback", "3")
    assert (host.current()["requested"], host.current()["absorbed"]) == ([], ["foo"])
    host.ok("upgrade")
    assert (host.current()["requested"], host.current()["absorbed"]) == (["foo"], [])


def test_a_state_long_gone_from_the_disk_is_rebuilt_bit_for_bit(host: Host) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    host.ok("pkg-delete", "foo")
    for number in range(8):  # more than the transactions whose commits are kept
        host.ok("pkg-add" if number % 2 == 0 else "pkg-delete", "baz")
    for ref in [ref for ref in host.refs() if ref.startswith("layer/")]:
        ostree("refs", "--delete", ref, repo=host.repo)
    ostree("prune", "--refs-only", repo=host.repo)
    assert not (host.repo / "objects" / layered[:2] / f"{layered[2:]}.commit").exists()
    host.ok("rollback", "2")
    assert host.commit_of() == layered


def test_rollback_to_what_is_deployed_changes_nothing(travelled: Host) -> None:
    with unchanged(travelled):
        result = travelled.ok("rollback", "5")
    assert "No change." in result.stdout + result.stderr


def test_rollback_to_an_unknown_transaction_is_refused(travelled: Host) -> None:
    result = refused(travelled, "rollback", "99")
    assert "99" in result.stderr


def test_rollback_to_a_time_before_the_journal_is_refused(travelled: Host) -> None:
    refused(travelled, "rollback", "--to", "2001-01-01")


def test_rollback_to_a_refused_transaction_is_the_state_it_left(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.run("pkg-add", "foo", check=1)
    host.ok("pkg-add", "bar")
    host.ok("rollback", "3")
    assert host.current()["requested"] == ["foo"]


@pytest.mark.parametrize(("number", "requested"), [(1, []), (2, ["foo"]), (3, ["bar", "foo"]), (4, ["bar"])])
def test_status_as_of_a_transaction_tells_the_state_after_it(
    travelled: Host, number: int, requested: list[str]
) -> None:
    then = travelled.json("status", "--as-of", str(number))["deployments"][0]
    entry = travelled.history()[number - 1]
    assert then["requested"] == requested
    assert then["base_commit"] == entry["base_commit"]
    assert then["commit"] == (entry["layered_commit"] or entry["base_commit"])
    assert then["transaction"] == number


def test_status_as_of_a_time_tells_the_state_at_that_instant(travelled: Host) -> None:
    entries = travelled.history()
    then = travelled.json("status", "--as-of", between(entries[1], entries[2]))["deployments"][0]
    assert (then["requested"], then["layered"]) == (["foo"], [FOO])


def test_a_rollback_needs_no_network(travelled: Host, repository: Repository) -> None:
    travelled.set_repo(repository.repo_file(url=NOWHERE))
    travelled.ok("rollback", "3")
    assert travelled.current()["layered"] == [BAR, FOO, FOO_LIBS]


def test_a_dry_run_of_a_rollback_changes_nothing(travelled: Host) -> None:
    journal = settled(travelled).journal.read_bytes()
    with unchanged(travelled):
        travelled.ok("rollback", "--dry-run", "2")
    assert travelled.journal.read_bytes() == journal
