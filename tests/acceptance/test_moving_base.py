"""What was asked for stays with the host wherever its base goes: upgrade, deploy, rebase, a commit that never moves."""

from __future__ import annotations

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import refused, same_deployments, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import REMOTE, Host
from tests.acceptance.repositories import FOO, Repository
from tests.acceptance.rpms import BUILD_TIME, build_rpm

LOCAL = "mine-1.0-1.noarch"
MARK = "/usr/share/mark"


def carries_both(host: Host, base: str) -> bool:
    """Whether the first deployment is that base with the repository's foo and the local package laid on it."""
    current = host.current()
    return (
        host.parent_of(host.commit_of()) == current["base_commit"] == base
        and (current["requested"], current["requested_local"]) == (["foo"], [LOCAL])
        and current["layered"] == [FOO, LOCAL]
        and {"foo", "mine"} <= set(host.rpm_names())
        and host.exists("/usr/bin/foo")
        and host.exists("/usr/bin/mine")
    )


def test_packages_of_a_repository_and_from_a_file_go_along_together(host: Host, base: BaseTree) -> None:
    """rpm-ostree's relayer and unified: they are re-applied on each base, though file and repository are gone."""
    file = build_rpm(base.repo.parent / "files", "mine", files={"/usr/bin/mine": "mine\n"})
    first = host.commit_of()
    host.ok("pkg-add", "foo", file)
    file.unlink()
    host.set_repo("")
    second = base.with_files({MARK: "2\n"}).commit(BRANCH, "2")
    devel = base.with_files({MARK: "devel\n"}).commit("os/devel", "2.devel")

    host.ok("upgrade")
    assert carries_both(host, second)
    host.ok("deploy", "1")
    assert carries_both(host, first)
    assert not host.exists(MARK)
    host.ok("rebase", "os/devel")
    assert carries_both(host, devel)
    assert host.read(MARK) == "devel\n"
    host.ok("rollback")
    assert carries_both(host, first)
    assert host.json("history", "--failed") == []


def test_a_request_is_active_dormant_and_active_again(host: Host, base: BaseTree, repository: Repository) -> None:
    """rpm-ostree's rpmdb: the base brings a newer foo, keeps it for a while, and drops it."""
    newer = build_rpm(base.repo.parent / "files", "foo", "2.0", files={"/usr/bin/foo": "#!/bin/sh\necho two\n"})
    host.ok("pkg-add", "foo", "bar")
    absorbed, layered = [], []
    for version, tree in enumerate((base.with_packages([newer]), base.with_packages([newer]), base), start=2):
        tree.with_files({MARK: f"{version}\n"}).commit(BRANCH, str(version))
        host.ok("upgrade")
        absorbed.append(host.current()["absorbed"])
        layered.append(host.rpm_nevras())
    assert absorbed == [["foo"], ["foo"], []]
    assert [[each for each in found if each.startswith("foo-")] for found in layered] == [
        ["foo-2.0-1.noarch", "foo-libs-1.0-1.x86_64"],
        ["foo-2.0-1.noarch", "foo-libs-1.0-1.x86_64"],
        [FOO, "foo-libs-1.0-1.x86_64"],
    ]
    assert host.current()["requested"] == ["bar", "foo"]


def test_etc_comes_along_with_what_the_administrator_changed(host: Host, base: BaseTree) -> None:
    host.write("/etc/motd", "mine\n")
    base.with_files({"/usr/etc/motd": "theirs\n", "/usr/etc/new": "new\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    assert (host.read("/etc/motd"), host.read("/usr/etc/motd"), host.read("/etc/new")) == (
        "mine\n",
        "theirs\n",
        "new\n",
    )


# What an upgrade would do, and where it must not go


def test_check_and_preview_tell_of_an_upgrade_and_change_nothing(
    host: Host, base: BaseTree, repository: Repository
) -> None:
    host.ok("pkg-add", "foo")
    newer = build_rpm(base.repo.parent / "files", "base-tool", "2.0", files={"/usr/bin/base-tool": "two\n"})
    extra = build_rpm(base.repo.parent / "files", "extra")
    second = base.without_packages("base-tool").with_packages([newer, extra]).commit(BRANCH, "2")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "two\n"})
    repository.publish()
    with unchanged(host):
        before = host.status()["journal"]
        checked = host.ok("upgrade", "--check").stdout
        previewed = host.ok("upgrade", "--preview").stdout
        assert host.status()["journal"] == before
    assert [line.strip() for line in checked.splitlines()] == [
        "AvailableUpdate:",
        "Version: 2",
        f"Commit: {second}",
        "Diff: 2 upgraded, 1 added",
    ]
    assert previewed.startswith(checked)
    assert "\n  base-tool-1.0-1.noarch -> base-tool-2.0-1.noarch\n  + extra-1.0-1.noarch\n" in previewed
    assert f"  {FOO} -> foo-2.0-1.noarch\n" in previewed
    host.ok("upgrade")
    assert host.run("upgrade", "--check", check=77).stdout == "No upgrade available.\n"


def test_an_upgrade_to_an_older_base_is_refused_unless_it_is_allowed(host: Host, base: BaseTree) -> None:
    """As a branch that was reset, or a remote that replays an old state, would have it."""
    older = base.with_files({MARK: "old\n"}).commit(BRANCH, "0.9", timestamp=BUILD_TIME - 1)
    with same_deployments(host):
        blocked = host.run("upgrade", check=1)
    assert f"'{older}'" in blocked.stderr
    assert "chronologically older than current" in blocked.stderr
    assert host.last()["error"]["kind"] == "base-older"
    host.ok("upgrade", "--allow-downgrade")
    assert (host.commit_of(), host.last()["options"]) == (older, {"allow-downgrade": "true"})


# Refspecs


def test_a_branch_alone_is_one_of_the_present_remote(host: Host, base: BaseTree) -> None:
    """Regression: libostree takes a remote's branch for a local one, which would never be pulled again."""
    devel = base.with_files({MARK: "devel\n"}).commit("os/devel", "2.devel")
    host.pull("os/devel")
    host.ok("rebase", "os/devel")
    assert (host.current()["refspec"], host.commit_of()) == (f"{REMOTE}:os/devel", devel)
    refusal = refused(host, "rebase", "os/devel")
    assert f"Old and new refs are equal: {REMOTE}:os/devel" in refusal.stderr


def test_a_local_branch_goes_before_one_of_the_remote(host: Host) -> None:
    host.make_branch("os/mine", host.commit_of())
    host.ok("rebase", "os/mine")
    assert host.current()["refspec"] == "os/mine"


def test_a_rebase_to_a_revision_pins_the_base_on_the_other_branch(host: Host, base: BaseTree) -> None:
    older = base.with_files({MARK: "old\n"}).commit("os/devel", "7")
    base.with_files({MARK: "new\n"}).commit("os/devel", "8")
    for revision in ("7", "version=7", older, f"revision={older}"):
        host.ok("rebase", "os/devel", revision)
        assert (host.commit_of(), host.current()["pinned_base"]) == (older, True)
        host.ok("rollback", "1")


@pytest.mark.parametrize("form", ["{}", f"{REMOTE}:{{}}"])
def test_a_refspec_can_be_a_commit_and_then_never_moves(
    install_host: InstallHost, repository: Repository, base: BaseTree, form: str
) -> None:
    """rpm-ostree's pinned-commit: packages are layered on it, and upgrade moves them and not the base."""
    host = install_host(repository.repo_file())
    first = host.commit_of()
    base.with_files({MARK: "2\n"}).commit(BRANCH, "2")
    refspec = form.format(first)
    host.ok("rebase", refspec)
    host.ok("pkg-add", "foo")
    with same_deployments(host):
        assert host.ok("upgrade").stdout == "Pinned to commit; no upgrade available\n"
        assert host.run("upgrade", "--check", check=77).stdout == "Pinned to commit; no upgrade available\n"
    repository.build("foo", "2.0", files={"/usr/bin/foo": "two\n"})
    repository.publish()
    host.ok("refresh-md")
    host.ok("upgrade")
    current = host.current()
    assert (current["refspec"], current["base_commit"]) == (refspec, first)
    assert current["layered"] == ["foo-2.0-1.noarch"]


def test_a_commit_that_is_only_at_the_remote_is_pulled(host: Host, base: BaseTree) -> None:
    elsewhere = base.with_files({MARK: "2\n"}).commit("os/devel", "2")
    host.ok("rebase", f"{REMOTE}:{elsewhere}")
    assert host.commit_of() == elsewhere
