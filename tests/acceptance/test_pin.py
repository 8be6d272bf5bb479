"""A pinned transaction keeps its commits through every cleanup, and its deployment while that is there."""

from __future__ import annotations

import pytest

from tests.acceptance.checks import origin_lines, refused, same_deployments
from tests.acceptance.host import Host
from tests.acceptance.repositories import FOO, Repository


@pytest.fixture
def pinned(host: Host) -> tuple[Host, str]:
    """A host whose transaction 2, which layered foo, is pinned and long gone from the disk; and its commit."""
    host.ok("pkg-add", "foo")
    commit = host.commit_of()
    host.ok("pkg-delete", "foo")
    host.ok("pkg-add", "baz")
    host.ok("pkg-delete", "baz")
    host.ok("pin", "2")
    return host, commit


@pytest.mark.parametrize("command", [("pin", "last"), ("undo", "2"), ("rollback", "last")], ids=" ".join)
def test_the_first_command_on_a_host_is_not_what_it_is_about(host: Host, command: tuple[str, str]) -> None:
    assert f"No transaction {command[1]}: there is none yet" in host.run(*command, check=1).stderr
    assert [each["outcome"] for each in host.history()] == ["committed", "refused"]


def has_commit(host: Host, commit: str) -> bool:
    return (host.repo / f"objects/{commit[:2]}/{commit[2:]}.commit").exists()


def test_pin_and_unpin_are_transactions_with_numbers_of_their_own(host: Host) -> None:
    host.ok("pkg-add", "foo")
    with same_deployments(host):
        host.ok("pin", "2", "--message", "before the audit")
        host.ok("unpin", "2")
    pin, unpin = host.history()[-2:]
    assert [(each["transaction"], each["verb"], each["outcome"]) for each in (pin, unpin)] == [
        (3, "pin", "committed"),
        (4, "unpin", "committed"),
    ]
    assert (pin["arguments"], pin["message"]) == (["2"], "before the audit")
    types = [event["type"] for event in host.json("show", "3")["events"]]
    assert types == ["transaction-started", "transaction-pinned", "transaction-committed"]
    # What is deployed is what transaction 2 made, whatever was recorded since.
    assert (host.current()["transaction"], host.current()["layered"]) == (2, [FOO])


def test_the_commits_of_a_pinned_transaction_survive_every_cleanup(pinned: tuple[Host, str]) -> None:
    host, commit = pinned
    host.ok("cleanup", "-b", "--keep", "0")
    assert has_commit(host, commit)
    host.ok("unpin", "2")
    host.ok("cleanup", "-b", "--keep", "0")
    assert not has_commit(host, commit)


def test_a_pinned_transaction_is_gone_back_to_without_a_repository(
    pinned: tuple[Host, str], repository: Repository
) -> None:
    host, commit = pinned
    host.ok("cleanup", "-b", "--keep", "0")
    for package in repository.packages():
        package.unlink()
    host.ok("rollback", "2")
    assert (host.commit_of(), host.current()["layered"]) == (commit, [FOO])


def test_the_packages_of_a_pinned_transaction_stay_in_the_cache(pinned: tuple[Host, str]) -> None:
    host, _ = pinned
    dropped = host.json("cleanup", "-r", "-b", "--keep", "0")["events"]
    packages = [
        each["nevra"]
        for event in dropped
        if event["type"] == "commits-dropped"
        for each in event["payload"]["packages"]
    ]
    assert packages == ["baz-1.0-1.noarch"]


def test_pinning_pins_the_deployment_in_libostree_and_unpinning_takes_it_back(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("pin", "2")
    assert [each["pinned"] for each in host.status()["deployments"]] == [True, False]
    assert "pinned=true" in origin_lines(host)
    host.ok("unpin", "last-1")
    assert [each["pinned"] for each in host.status()["deployments"]] == [False, False]


def test_a_pinned_deployment_stays_on_the_disk_and_the_pin_is_not_inherited(host: Host) -> None:
    host.ok("pkg-add", "foo")
    commit = host.commit_of()
    host.ok("pin", "last")
    for command in (["pkg-add", "baz"], ["pkg-delete", "foo"], ["pkg-add", "right"]):
        host.ok(*command)
    host.ok("cleanup", "-p", "-r")
    deployments = host.status()["deployments"]
    assert [(each["commit"] == commit, each["pinned"]) for each in deployments] == [(False, False), (True, True)]


def test_rolling_back_does_not_take_a_pin_back(pinned: tuple[Host, str]) -> None:
    host, commit = pinned
    host.ok("rollback", "1")
    host.ok("cleanup", "-b", "--keep", "0")
    assert has_commit(host, commit)


def test_pinning_twice_changes_nothing(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("pin", "2")
    assert "Transaction 2 is already pinned." in host.ok("pin", "2").stdout
    assert host.last()["outcome"] == "unchanged"
    assert "Transaction 1 is not pinned." in host.ok("unpin", "1").stdout
    host.run("unpin", "1", "--unchanged-exit-77", check=77)


def test_a_transaction_that_is_not_there_is_not_pinned(host: Host) -> None:
    host.ok("pkg-add", "foo")
    assert "No transaction 99" in refused(host, "pin", "99").stderr
    before = host.history()
    assert "no transaction" in host.run("pin", "yesterday", check=2).stderr
    assert host.history() == before


def test_a_dry_run_pins_nothing(host: Host) -> None:
    host.ok("pkg-add", "foo")
    before = host.history()
    assert "Pinning transaction 2." in host.ok("pin", "2", "-n").stdout
    assert host.history() == before
    assert not host.current()["pinned"]
