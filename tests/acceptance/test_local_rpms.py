"""Local RPMs: layered as they are, kept as long as they are asked for, and gone without a trace when refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails, origin_lines, refused, settled, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import FOO, FOO_LIBS, NOWHERE, Repository
from tests.acceptance.rpms import build_rpm, sha256

LOCAL = "local-1.0-1.noarch"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return build_rpm(tmp_path / "files", "local", files={"/usr/bin/local": "#!/bin/sh\necho local\n"})


def inside(host: Host) -> dict[str, bytes]:
    """All that the repositories of the host hold, the package cache included, and what lies beside them in /var."""
    var = host.sysroot / "ostree/deploy" / host.stateroot / "var"
    places = (host.repo, var)
    return {
        str(path): path.read_bytes()
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and "var/lib/layer" not in str(path) and path.name != ".lock"
    }


def objects(host: Host) -> set[str]:
    return {name for name in inside(host) if "/objects/" in name or "/refs/" in name}


def drop_cache(host: Host) -> None:
    shutil.rmtree(host.repo / "extensions/layer/pkgcache")


# Several at once, with what they need


def test_several_are_added_with_what_repositories_have_for_them(host: Host, tmp_path: Path, local: Path) -> None:
    other = build_rpm(tmp_path / "files", "other", requires=["local", "foo-libs"])
    host.ok("pkg-add", local, other, "foo")
    current = host.current()
    assert current["requested"] == ["foo"]
    assert current["requested_local"] == [LOCAL, "other-1.0-1.noarch"]
    assert current["layered"] == [FOO, FOO_LIBS, LOCAL, "other-1.0-1.noarch"]
    entries = sorted(f"{sha256(path)}:{path.name.removesuffix('.rpm')}" for path in (local, other))
    assert f"requested-local={';'.join(entries)};" in origin_lines(host)


def test_an_epoch_is_part_of_what_is_recorded(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path / "files", "aged", epoch=3)
    host.ok("pkg-add", package)
    assert host.current()["requested_local"] == ["aged-3:1.0-1.noarch"]
    assert f"requested-local={sha256(package)}:aged-3:1.0-1.noarch;" in origin_lines(host)
    host.ok("pkg-delete", "aged-3:1.0-1.noarch")
    assert host.current()["requested_local"] == []


def test_without_any_repository_a_local_package_is_layered(install_host: InstallHost, local: Path) -> None:
    host = install_host()
    host.ok("pkg-add", local)
    assert host.current()["layered"] == [LOCAL]


# As long as it is asked for


def test_it_survives_upgrade_and_rebase_when_its_file_is_gone(
    host: Host, base: BaseTree, repository: Repository, local: Path
) -> None:
    host.ok("pkg-add", local, "foo")
    local.unlink()
    repository.build("local", "2.0")  # what a repository has under its name is another package
    repository.publish()
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.current()["layered"] == [FOO, LOCAL]
    base.commit("os/next", "3")
    host.ok("rebase", "test:os/next")
    assert (host.current()["requested_local"], host.current()["layered"]) == ([LOCAL], [FOO, LOCAL])
    assert host.read("/usr/bin/local") == "#!/bin/sh\necho local\n"


def test_it_stays_in_the_cache_through_a_cleanup(host: Host, base: BaseTree, local: Path) -> None:
    host.ok("pkg-add", local)
    local.unlink()
    host.ok("cleanup", "-r", "-b", "-m", "--keep", "0")
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.current()["layered"] == [LOCAL]


def test_it_stays_through_a_cleanup_while_the_base_hides_it(host: Host, base: BaseTree, local: Path) -> None:
    host.ok("pkg-add", local)
    base.with_packages([local]).commit(BRANCH, "2")
    host.ok("upgrade")
    local.unlink()
    assert host.current()["absorbed"] == [LOCAL]
    host.ok("cleanup", "-r", "-b", "--keep", "0")
    base.commit(BRANCH, "3")
    host.ok("upgrade")
    assert (host.current()["requested_local"], host.current()["layered"]) == ([LOCAL], [LOCAL])


def test_it_goes_with_the_cleanup_after_it_was_deleted(host: Host, local: Path) -> None:
    host.ok("pkg-add", local)
    host.ok("pkg-delete", "local")
    host.ok("cleanup", "-r", "-b", "--keep", "0")
    assert not [path for path in objects(host) if "local" in Path(path).name or sha256(local) in path]


def test_a_deleted_cache_loses_no_local_package(host: Host, base: BaseTree, local: Path) -> None:
    host.ok("pkg-add", local)
    local.unlink()
    drop_cache(host)
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.current()["layered"] == [LOCAL]
    assert host.read("/usr/bin/local") == "#!/bin/sh\necho local\n"


# Refused, and no trace


def test_what_is_layered_already_is_refused_by_name(host: Host, tmp_path: Path, local: Path) -> None:
    host.ok("pkg-add", local)
    assert f"Package '{LOCAL}' is already layered" in refused(host, "pkg-add", local).stderr
    newer = build_rpm(tmp_path / "files", "local", "2.0")
    assert f"Package '{LOCAL}' is already layered" in refused(host, "pkg-add", newer).stderr
    host.ok("pkg-add", newer, "--uninstall", "local")
    assert host.current()["requested_local"] == ["local-2.0-1.noarch"]


def test_idempotent_takes_the_same_file_for_done(host: Host, local: Path) -> None:
    host.ok("pkg-add", local)
    with unchanged(host):
        host.ok("pkg-add", "--idempotent", local)
    assert host.last()["outcome"] == "unchanged"


def test_a_package_beside_one_of_its_name_from_a_repository_is_refused(host: Host, tmp_path: Path) -> None:
    host.ok("pkg-add", "foo")
    mine = build_rpm(tmp_path / "files", "foo", "2.0")
    assert f"Package '{FOO}' is already layered" in refused(host, "pkg-add", mine).stderr


def test_what_the_base_has_is_refused_by_name_unless_inactive_is_allowed(host: Host, tmp_path: Path) -> None:
    same = build_rpm(tmp_path / "files", "base-tool")
    older = build_rpm(tmp_path / "files", "base-tool", "0.9")
    for package in (same, older):
        result = refused(host, "pkg-add", package)
        assert "Package 'base-tool-1.0-1.noarch' is already in the base" in result.stderr
    host.ok("pkg-add", "--allow-inactive", same)
    assert host.current()["absorbed"] == ["base-tool-1.0-1.noarch"]


@pytest.mark.parametrize(
    "arguments",
    [["-n"], ["zebra"], ["base-tool"], ["left", "right"]],
    ids=["dry-run", "unknown", "provided", "conflict"],
)
def test_a_dry_run_or_a_refusal_leaves_nothing_of_it(host: Host, local: Path, arguments: list[str]) -> None:
    settled(host)
    host.run("pkg-add", "-n", "foo")  # which leaves metadata, as any look into repositories does
    before = objects(host)
    result = host.run("pkg-add", local, *arguments)
    assert (result.exit == 0) == (arguments == ["-n"]), result
    assert objects(host) == before
    if arguments == ["-n"]:
        assert LOCAL in result.stdout


def test_one_that_can_not_be_laid_is_not_held(host: Host, tmp_path: Path) -> None:
    clash = build_rpm(tmp_path / "built", "clash", files={"/usr/bin/base-tool": "another\n"})
    assert "base-tool" in fails(host, "pkg-add", clash).stderr


# Nothing but a file


def test_deleting_needs_neither_the_file_nor_a_repository(host: Host, repository: Repository, local: Path) -> None:
    host.ok("pkg-add", local, "foo")
    local.unlink()
    host.set_repo(repository.repo_file(url=NOWHERE))
    host.ok("pkg-delete", "foo")
    assert host.current()["layered"] == [LOCAL]


def test_going_back_to_a_local_package_needs_no_file(host: Host, local: Path) -> None:
    host.ok("pkg-add", local)
    commit = host.commit_of()
    host.ok("pkg-delete", LOCAL)
    local.unlink()
    host.ok("rollback", "2")
    assert (host.commit_of(), host.current()["requested_local"]) == (commit, [LOCAL])
