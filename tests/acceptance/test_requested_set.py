"""The requested set grows by pkg-add, shrinks as bases absorb it, and is never forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import origin_lines, refused, same_deployments, unchanged
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAR, BAZ, FOO, FOO_LIBS, NOWHERE, Repository
from tests.acceptance.rpms import build_rpm, sha256


@pytest.fixture
def foo(repository: Repository) -> Path:
    return repository.directory / f"{FOO}.rpm"


def sets(host: Host) -> tuple[list[str], list[str], list[str]]:
    """The names requested, the names absorbed and the packages layered."""
    current = host.current()
    return current["requested"], current["absorbed"], current["layered"]


def test_a_second_pkg_add_adds_to_what_the_first_requested(host: Host) -> None:
    host.ok("pkg-add", "foo")
    assert sets(host) == (["foo"], [], [FOO])
    host.ok("pkg-add", "baz")
    assert sets(host) == (["baz", "foo"], [], [BAZ, FOO])
    assert host.rpm_names() == ["base-tool", "bash", "baz", "fedora-release", "filesystem", "foo"]


def test_a_dependency_is_layered_and_not_requested(host: Host) -> None:
    host.ok("pkg-add", "bar")
    assert sets(host) == (["bar"], [], [BAR, FOO_LIBS])


def test_several_packages_are_requested_by_one_command(host: Host) -> None:
    host.ok("pkg-add", "foo", "bar", "baz")
    assert sets(host) == (["bar", "baz", "foo"], [], [BAR, BAZ, FOO, FOO_LIBS])


def test_requesting_what_is_layered_as_a_dependency_keeps_the_layer(host: Host) -> None:
    host.ok("pkg-add", "bar")
    layered = host.commit_of()
    assert host.ok("pkg-add", "foo-libs", "-n").stdout.splitlines()[0] == "Requested: +foo-libs"
    assert host.ok("pkg-add", "foo-libs").stdout == "Requested: +foo-libs\nTransaction 3 committed.\n"
    assert sets(host) == (["bar", "foo-libs"], [], [BAR, FOO_LIBS])
    assert host.commit_of() == layered
    assert "requested=bar;foo-libs;" in origin_lines(host)


@pytest.mark.parametrize("alias", ["install", "add"])
def test_the_aliases_of_pkg_add_add(host: Host, alias: str) -> None:
    host.ok(alias, "foo")
    assert sets(host) == (["foo"], [], [FOO])
    assert host.last()["verb"] == "pkg-add"


@pytest.mark.parametrize("alias", ["uninstall", "remove"])
def test_the_aliases_of_pkg_delete_delete(host: Host, alias: str) -> None:
    host.ok("pkg-add", "foo", "baz")
    host.ok(alias, "foo")
    assert sets(host) == (["baz"], [], [BAZ])
    assert host.last()["verb"] == "pkg-delete"


def test_a_capability_is_requested_as_it_was_asked_for(host: Host) -> None:
    host.ok("pkg-add", "baz-capability")
    assert sets(host) == (["baz-capability"], [], [BAZ])
    host.ok("pkg-delete", "baz-capability")
    assert sets(host) == ([], [], [])


def test_a_file_in_a_package_is_a_capability(host: Host) -> None:
    host.ok("pkg-add", "/usr/bin/baz")
    assert sets(host) == (["/usr/bin/baz"], [], [BAZ])


def test_a_local_package_is_requested_by_its_checksum(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "local", files={"/usr/bin/local": "#!/bin/sh\n"})
    host.ok("pkg-add", package)
    package.unlink()
    current = host.current()
    assert current["requested"] == []
    assert len(current["requested_local"]) == 1
    assert current["layered"] == ["local-1.0-1.noarch"]
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == [FOO, "local-1.0-1.noarch"]
    host.ok("pkg-delete", "local")
    assert host.current()["requested_local"] == []
    assert host.current()["layered"] == [FOO]


def test_a_local_package_is_deleted_by_its_nevra(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "local", files={"/usr/bin/local": "#!/bin/sh\n"})
    checksum = sha256(package)
    host.ok("pkg-add", package)
    assert f"requested-local={checksum}:local-1.0-1.noarch;" in origin_lines(host)
    host.ok("pkg-delete", "local-1.0-1.noarch")
    assert host.current()["requested_local"] == []


def test_a_local_package_may_need_one_of_the_repository(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "local", requires=["foo-libs"])
    host.ok("pkg-add", package)
    assert host.current()["layered"] == [FOO_LIBS, "local-1.0-1.noarch"]


# Absorbed by a base


@pytest.fixture
def absorbed(host: Host, base: BaseTree, foo: Path) -> Host:
    """A host where foo and baz were asked for, and version 2 of the base provides foo."""
    host.ok("pkg-add", "foo", "baz")
    base.with_packages([foo]).commit(BRANCH, "2")
    host.ok("upgrade")
    return host


def test_an_upgrade_absorbs_what_the_new_base_provides(absorbed: Host) -> None:
    assert sets(absorbed) == (["baz"], ["foo"], [BAZ])
    assert "requested=baz;" in origin_lines(absorbed)
    assert absorbed.rpm_names().count("foo") == 1


def test_a_rebase_absorbs_what_the_new_base_provides(host: Host, base: BaseTree, foo: Path) -> None:
    host.ok("pkg-add", "foo", "baz")
    base.with_packages([foo]).commit("os/next", "1")
    host.ok("rebase", "test:os/next")
    assert sets(host) == (["baz"], ["foo"], [BAZ])
    host.ok("rebase", "test:os/stable")
    assert sets(host) == (["baz", "foo"], [], [BAZ, FOO])


def test_a_capability_is_absorbed_by_whatever_provides_it(host: Host, base: BaseTree, repository: Repository) -> None:
    host.ok("pkg-add", "baz-capability")
    base.with_packages([repository.directory / f"{BAZ}.rpm"]).commit(BRANCH, "2")
    host.ok("upgrade")
    assert sets(host) == ([], ["baz-capability"], [])


def test_all_absorbed_is_the_bare_base_commit(host: Host, base: BaseTree, foo: Path) -> None:
    host.ok("pkg-add", "foo")
    newer = base.with_packages([foo]).commit(BRANCH, "2")
    host.ok("upgrade")
    assert sets(host) == ([], ["foo"], [])
    assert host.commit_of() == newer
    assert origin_lines(host)[:2] == ["[origin]", "refspec=test:os/stable"]
    assert not [line for line in origin_lines(host) if line.startswith("requested")]


def test_a_later_base_without_the_package_reinstates_it(absorbed: Host, base: BaseTree) -> None:
    base.commit(BRANCH, "3")
    absorbed.ok("upgrade")
    assert sets(absorbed) == (["baz", "foo"], [], [BAZ, FOO])
    assert "requested=baz;foo;" in origin_lines(absorbed)


def test_all_absorbed_is_reinstated_too(host: Host, base: BaseTree, foo: Path) -> None:
    host.ok("pkg-add", "foo")
    base.with_packages([foo]).commit(BRANCH, "2")
    host.ok("upgrade")
    base.commit(BRANCH, "3")
    host.ok("upgrade")
    assert sets(host) == (["foo"], [], [FOO])


def test_pkg_add_keeps_in_mind_what_the_base_hides(absorbed: Host, base: BaseTree) -> None:
    absorbed.ok("pkg-add", "bar")
    assert sets(absorbed) == (["bar", "baz"], ["foo"], [BAR, BAZ, FOO_LIBS])
    base.commit(BRANCH, "3")
    absorbed.ok("upgrade")
    assert sets(absorbed) == (["bar", "baz", "foo"], [], [BAR, BAZ, FOO, FOO_LIBS])


def test_deleting_an_absorbed_request_forgets_it_without_a_deployment(absorbed: Host, base: BaseTree) -> None:
    with same_deployments(absorbed):
        absorbed.ok("pkg-delete", "foo")
    assert absorbed.last()["outcome"] == "committed"
    assert sets(absorbed) == (["baz"], [], [BAZ])
    base.commit(BRANCH, "3")
    absorbed.ok("upgrade")
    assert sets(absorbed) == (["baz"], [], [BAZ])


def test_deleting_all_forgets_the_absorbed_as_well(absorbed: Host, base: BaseTree) -> None:
    absorbed.ok("pkg-delete", "--all")
    assert sets(absorbed) == ([], [], [])
    base.commit(BRANCH, "3")
    absorbed.ok("upgrade")
    assert sets(absorbed) == ([], [], [])


# Provided by the base already


def test_what_the_base_provides_is_refused_by_name(host: Host) -> None:
    result = refused(host, "pkg-add", "base-tool")
    assert (
        '"base-tool" is already provided by: base-tool-1.0-1.noarch. Use --allow-inactive to explicitly require it.'
    ) in result.stderr


def test_a_capability_that_the_base_provides_is_refused(host: Host) -> None:
    result = refused(host, "pkg-add", "foo", "/bin/sh")
    assert (
        '"/bin/sh" is already provided by: bash-5.2.26-3.x86_64. Use --allow-inactive to explicitly require it.'
    ) in result.stderr


def test_allow_inactive_records_it_as_absorbed_without_a_deployment(host: Host) -> None:
    with same_deployments(host):
        host.ok("pkg-add", "--allow-inactive", "base-tool")
    assert host.last()["outcome"] == "committed"
    assert sets(host) == ([], ["base-tool"], [])


def test_what_was_allowed_inactive_is_layered_when_a_base_drops_it(
    host: Host, base: BaseTree, repository: Repository
) -> None:
    repository.build("base-tool", "1.1", files={"/usr/bin/base-tool": "#!/bin/sh\n"})
    repository.publish()
    host.ok("pkg-add", "--allow-inactive", "base-tool")
    base.without_packages("base-tool").commit(BRANCH, "2")
    host.ok("upgrade")
    assert sets(host) == (["base-tool"], [], ["base-tool-1.1-1.noarch"])


def test_allow_inactive_layers_the_others_of_the_same_command(host: Host) -> None:
    host.ok("pkg-add", "--allow-inactive", "base-tool", "foo")
    assert sets(host) == (["foo"], ["base-tool"], [FOO])


# Requested already, or not at all


def test_what_is_requested_already_is_refused(host: Host) -> None:
    host.ok("pkg-add", "foo")
    result = refused(host, "pkg-add", "foo")
    assert "Package/capability 'foo' is already requested" in result.stderr


def test_one_of_several_requested_already_refuses_the_whole_command(host: Host) -> None:
    host.ok("pkg-add", "foo")
    refused(host, "pkg-add", "baz", "foo")
    assert sets(host) == (["foo"], [], [FOO])


def test_idempotent_takes_what_is_requested_already_for_done(host: Host) -> None:
    host.ok("pkg-add", "foo")
    with unchanged(host):
        result = host.ok("pkg-add", "--idempotent", "foo")
    assert "No change." in result.stdout + result.stderr
    assert host.last()["outcome"] == "unchanged"
    host.ok("pkg-add", "--idempotent", "foo", "baz")
    assert sets(host) == (["baz", "foo"], [], [BAZ, FOO])


def test_unchanged_exit_77_tells_that_nothing_changed(host: Host) -> None:
    host.run("pkg-add", "--unchanged-exit-77", "foo", check=0)
    host.run("pkg-add", "--idempotent", "--unchanged-exit-77", "foo", check=77)
    host.run("upgrade", "--unchanged-exit-77", check=77)
    host.run("pkg-delete", "--idempotent", "--unchanged-exit-77", "baz", check=77)


def test_what_is_not_requested_is_not_deleted(host: Host) -> None:
    result = refused(host, "pkg-delete", "foo")
    assert "Package/capability 'foo' is not currently requested" in result.stderr


def test_a_dependency_is_not_requested_and_so_not_deleted(host: Host) -> None:
    host.ok("pkg-add", "bar")
    result = refused(host, "pkg-delete", "foo-libs")
    assert "Package/capability 'foo-libs' is not currently requested" in result.stderr


def test_one_of_several_not_requested_refuses_the_whole_command(host: Host) -> None:
    host.ok("pkg-add", "foo")
    refused(host, "pkg-delete", "foo", "baz")
    assert sets(host) == (["foo"], [], [FOO])


# Deleting


def test_a_deleted_package_takes_its_dependencies_along(host: Host) -> None:
    host.ok("pkg-add", "foo", "bar")
    host.ok("pkg-delete", "bar")
    assert sets(host) == (["foo"], [], [FOO])
    assert not host.exists("/usr/lib64/libfoo.so.1")


def test_deleting_needs_no_repository(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "foo", "bar")
    host.set_repo(repository.repo_file(url=NOWHERE))
    host.ok("pkg-delete", "foo")
    assert sets(host) == (["bar"], [], [BAR, FOO_LIBS])


def test_deleting_the_last_request_leaves_the_bare_base(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    assert host.commit_of() != bare
    host.ok("pkg-delete", "foo")
    assert host.commit_of() == bare
    assert origin_lines(host)[:2] == ["[origin]", "refspec=test:os/stable"]
    assert sets(host) == ([], [], [])


def test_delete_all_leaves_the_bare_base(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo", "bar")
    host.ok("pkg-delete", "--all")
    assert host.commit_of() == bare
    assert sets(host) == ([], [], [])


# The base


def test_pkg_add_never_moves_the_base(host: Host, base: BaseTree) -> None:
    first = host.commit_of()
    newer = base.commit(BRANCH, "2")
    host.ok("pkg-add", "foo")
    assert host.current()["base_commit"] == first
    host.ok("pkg-delete", "foo")
    assert host.current()["base_commit"] == first
    host.ok("upgrade")
    assert host.current()["base_commit"] == newer


def test_an_upgrade_with_nothing_new_makes_no_deployment(host: Host) -> None:
    host.ok("pkg-add", "foo")
    with unchanged(host):
        result = host.ok("upgrade")
    assert "No upgrade available." in result.stdout + result.stderr
    assert host.last()["outcome"] == "unchanged"


def test_a_rebase_to_the_refspec_followed_already_is_refused(host: Host) -> None:
    result = host.run("rebase", "test:os/stable", check=1)
    assert "Old and new refs are equal: test:os/stable" in result.stderr


def test_deploy_pins_the_base_until_the_next_upgrade(host: Host, base: BaseTree) -> None:
    first = host.commit_of()
    newer = base.commit(BRANCH, "2")
    host.ok("pkg-add", "foo")
    host.ok("upgrade")
    host.ok("deploy", "1")
    assert host.current()["base_commit"] == first
    assert sets(host) == (["foo"], [], [FOO])
    host.ok("pkg-add", "baz")
    assert host.current()["base_commit"] == first
    host.ok("upgrade")
    assert host.current()["base_commit"] == newer
    assert sets(host) == (["baz", "foo"], [], [BAZ, FOO])


def test_deploy_takes_a_checksum_as_well(host: Host, base: BaseTree) -> None:
    newer = base.commit(BRANCH, "2")
    base.commit(BRANCH, "3")
    host.ok("deploy", newer)
    assert host.current()["base_commit"] == newer
    assert host.current()["version"] == "2"


def test_deploy_of_an_unknown_version_is_an_error(host: Host) -> None:
    result = host.run("deploy", "99", check=1)
    assert "Version 99 not found in test:os/stable" in result.stderr
    assert "in full" not in result.stderr
    assert "in full" in host.run("deploy", host.commit_of()[:12], check=1).stderr
