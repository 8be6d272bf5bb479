"""Undo and redo: what one transaction did, taken back or done again on top of what came since."""

from __future__ import annotations

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import refused, unchanged
from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAR, FOO, FOO_LIBS, NOWHERE, Repository
from tests.acceptance.rpms import build_rpm


@pytest.fixture(scope="module")
def original(shared: Shared) -> Host:
    host = shared.host
    host.ok("pkg-add", "foo", "left")
    host.ok("pkg-add", "bar")
    host.ok("pkg-delete", "left")
    return host


@pytest.fixture
def lived(original: Host, copy_host: CopyHost) -> Host:
    """1 adopt, 2 add foo and left, 3 add bar, 4 delete left; its repository is not to be reached."""
    host = copy_host(original)
    host.set_repo(f"[test]\nname=test\nbaseurl={NOWHERE}\n")
    return host


def test_undo_takes_back_one_transaction_and_leaves_what_came_after_it(lived: Host) -> None:
    lived.ok("undo", "3")
    assert lived.current()["requested"] == ["foo"]
    assert lived.current()["layered"] == [FOO]
    assert lived.json("history", "--verb", "undo")[0]["arguments"] == ["3"]


def test_undo_of_a_removal_brings_back_the_very_package_without_network(lived: Host) -> None:
    lived.ok("undo", "4")
    assert lived.current()["requested"] == ["bar", "foo", "left"]
    assert lived.current()["layered"] == [BAR, FOO, FOO_LIBS, "left-1.0-1.noarch"]


def test_redo_after_undo_is_the_state_before_it(lived: Host) -> None:
    commit = lived.commit_of()
    lived.ok("undo", "last-1")
    lived.ok("redo", "3", "--message", "after all")
    assert lived.commit_of() == commit
    assert [(each["verb"], each["arguments"]) for each in lived.history()[-2:]] == [("undo", ["3"]), ("redo", ["3"])]
    shown = lived.ok("show", "last").stdout
    assert "layer --sysroot" in shown
    assert "after all" in shown
    assert "redo 3" in lived.ok("history", "-n", "1").stdout


def test_a_preview_tells_and_changes_nothing(lived: Host) -> None:
    journal = lived.journal.read_bytes()
    with unchanged(lived):
        said = lived.ok("undo", "3", "--preview").stdout
        assert lived.json("undo", "3", "--preview")["removed"] == [BAR, FOO_LIBS]
    assert said == f"Removing 2 packages:\n  {BAR}\n  {FOO_LIBS}\n"
    assert lived.journal.read_bytes() == journal


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("undo", "2"), r"'left' was taken back by transaction 4 (pkg-delete)"),
        (("redo", "3"), r"'bar' was asked for by transaction 3 (pkg-add)"),
        (("redo", "4"), r"'left' was taken back by transaction 4 (pkg-delete)"),
        (("undo", "1"), "Transaction 1 (adopt) only records what was found on the host"),
        (("redo", "1"), "Transaction 1 (adopt) only records what was found on the host"),
        (("undo", "99"), "No transaction 99: the last one is 4"),
        (("redo", "last-9"), "No transaction last-9"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(lived: Host, command: tuple[str, ...], reason: str) -> None:
    assert reason in refused(lived, *command).stderr


def test_what_changed_nothing_cannot_be_undone_nor_a_whole_state(lived: Host) -> None:
    lived.run("pkg-add", "foo", check=1)
    assert "Transaction 5 was refused: it changed nothing" in refused(lived, "undo", "last").stderr
    lived.ok("rollback", "2")
    assert "Transaction 7 is a rollback: it set the whole state" in refused(lived, "undo", "7").stderr
    lived.ok("pin", "2")
    assert "Transaction 9 (pin) changed neither requests nor base" in refused(lived, "redo", "9").stderr


def test_what_is_undone_already_is_refused_until_it_is_done_again(lived: Host) -> None:
    lived.ok("undo", "3")
    assert "Transaction 3 is undone already, by transaction 5" in refused(lived, "undo", "3").stderr
    lived.ok("redo", "3")
    lived.ok("undo", "3")
    assert lived.current()["requested"] == ["foo"]


def test_idempotent_takes_what_is_so_already_for_done(lived: Host) -> None:
    lived.ok("undo", "3")
    with unchanged(lived):
        assert "undone already" in lived.ok("undo", "3", "--idempotent").stdout
    lived.run("undo", "3", "--idempotent", "--unchanged-exit-77", check=77)
    lived.ok("redo", "3")
    with unchanged(lived):
        lived.ok("redo", "3", "--idempotent")
    lived.run("undo", "2", "--idempotent", check=1)


@pytest.mark.parametrize("word", ["x", "2026-11-20", ""])
def test_what_is_no_transaction_is_a_usage_error(lived: Host, word: str) -> None:
    before = len(lived.history())
    for verb in ("undo", "redo"):
        lived.run(verb, word, check=2)
    assert len(lived.history()) == before


def test_undo_of_an_upgrade_goes_back_to_base_and_versions_and_keeps_later_requests(
    host: Host, base: BaseTree, repository: Repository
) -> None:
    first = host.commit_of()
    host.ok("pkg-add", "foo")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "foo 2\n"})
    repository.publish()
    second = base.with_files({"/usr/share/version": "2\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-add", "bar")
    assert host.current()["layered"] == [BAR, "foo-2.0-1.noarch", FOO_LIBS]
    host.ok("undo", "3")
    assert host.current()["base_commit"] == first
    assert host.current()["layered"] == [BAR, FOO, FOO_LIBS]
    host.ok("redo", "3")
    assert host.current()["base_commit"] == second
    assert host.current()["layered"] == [BAR, "foo-2.0-1.noarch", FOO_LIBS]
    assert host.current()["requested"] == ["bar", "foo"]


def test_undo_of_a_rebase_follows_the_old_refspec_again(host: Host, base: BaseTree) -> None:
    base.with_files({"/usr/share/version": "next\n"}).commit("os/next", "1")
    host.ok("pkg-add", "foo")
    host.ok("rebase", "test:os/next")
    host.ok("undo", "last")
    assert host.current()["refspec"] == "test:os/stable"
    assert host.current()["layered"] == [FOO]
    host.ok("redo", "3")
    assert host.current()["refspec"] == "test:os/next"


def test_what_another_tool_took_away_since_cannot_be_undone_any_more(lived: Host) -> None:
    lived.admin("deploy", f"--os={lived.stateroot}", lived.history()[0]["base_commit"])
    result = lived.run("undo", "3", check=1)
    assert "'bar' was taken back by transaction 5 (observe)" in result.stderr
    assert [(each["verb"], each["outcome"]) for each in lived.history()[4:]] == [
        ("observe", "committed"),
        ("undo", "refused"),
    ]


def test_a_local_rpm_that_was_removed_comes_back_without_its_file(
    host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = build_rpm(tmp_path_factory.mktemp("local"), "by-hand", files={"/usr/share/by-hand": "x\n"})
    host.ok("pkg-add", path)
    commit = host.commit_of()
    host.ok("pkg-delete", "by-hand")
    path.unlink()
    host.ok("undo", "3")
    assert host.commit_of() == commit
    assert host.current()["requested_local"] == ["by-hand-1.0-1.noarch"]


def test_a_request_that_the_base_took_over_can_be_undone(host: Host, base: BaseTree, repository: Repository) -> None:
    host.ok("pkg-add", "foo")
    base.with_packages([repository.directory / f"{FOO}.rpm"]).commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.current()["absorbed"] == ["foo"]
    host.ok("undo", "2")
    assert (host.current()["requested"], host.current()["absorbed"]) == ([], [])
