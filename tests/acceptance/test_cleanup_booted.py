"""Cleanup on a system that runs from one of its deployments."""

from __future__ import annotations

import pytest

from tests.acceptance.booted import Booted


@pytest.fixture
def three(booted: Booted) -> tuple[str, str, str]:
    """A deployment that waits to be booted, the booted one, and one to roll back to; none is pinned."""
    host = booted.host
    host.admin("pin", "1")  # for as long as the next deployment is made outside of the booted system
    host.ok("pkg-add", "baz")
    host.admin("pin", "--unpin", "2")
    pending, running, bare = host.deployments()
    return pending, running, bare


def test_p_drops_what_waits_to_be_booted_and_the_booted_state_is_what_counts(
    booted: Booted, three: tuple[str, str, str]
) -> None:
    host = booted.host
    _, running, bare = three
    booted.run("cleanup", "-p")
    assert host.deployments() == [running, bare]
    current = host.current()
    assert (current["requested"], current["layered"]) == (["foo"], ["foo-1.0-1.noarch"])
    before = len(host.history())
    assert (host.last()["verb"], host.last()["requested"]) == ("cleanup", ["foo"])
    host.ok("sync")  # nothing is left to observe
    assert len(host.history()) == before
    host.ok("pkg-add", "bar")
    assert host.current()["requested"] == ["bar", "foo"]


def test_r_drops_what_is_behind_the_booted_one(booted: Booted, three: tuple[str, str, str]) -> None:
    pending, running, _ = three
    booted.run("cleanup", "-r")
    assert booted.host.deployments() == [pending, running]


def test_the_booted_deployment_is_never_dropped(booted: Booted, three: tuple[str, str, str]) -> None:
    booted.run("cleanup", "-p", "-r", "-b", "-m", "--keep", "0")
    assert booted.host.deployments() == [three[1]]
    assert booted.host.read("/usr/bin/foo") == "#!/bin/sh\necho foo\n"


def test_a_pinned_one_stays_on_either_side(booted: Booted, three: tuple[str, str, str]) -> None:
    booted.host.ok("pin", "last")
    booted.host.ok("pin", "1")
    booted.run("cleanup", "-p", "-r")
    assert booted.host.deployments() == list(three)
