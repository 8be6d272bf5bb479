"""What can be wrong from outside: an error that names it, a record of the attempt, and a host as it was."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails, refused, settled, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import STATEROOT, Host, environment
from tests.acceptance.repositories import NOWHERE, HttpServer, Repository
from tests.acceptance.rpms import SigningKey, build_rpm, corrupt

# Packages


def test_all_unknown_packages_are_named_in_one_error(host: Host) -> None:
    result = refused(host, "pkg-add", "zebra", "foo", "aardvark")
    assert "Packages not found: aardvark, zebra" in result.stderr


def test_one_unknown_package_is_named_alike(host: Host) -> None:
    result = refused(host, "pkg-add", "zebra")
    assert "Packages not found: zebra" in result.stderr


def test_without_any_repository_no_package_is_found(install_host: InstallHost) -> None:
    result = refused(install_host(), "pkg-add", "foo")
    assert "Packages not found: foo\nhint: No package repositories are enabled.\n" in result.stderr


def test_a_dependency_that_nothing_provides_is_named(host: Host, repository: Repository) -> None:
    repository.build("needy", requires=["not-to-be-had >= 3"])
    repository.publish()
    with unchanged(host):
        result = host.run("pkg-add", "needy", check=1)
    assert "needy" in result.stderr
    assert "not-to-be-had >= 3" in result.stderr


def test_a_local_file_that_is_not_there_is_named(host: Host, tmp_path: Path) -> None:
    result = refused(host, "pkg-add", tmp_path / "missing.rpm")
    assert str(tmp_path / "missing.rpm") in result.stderr


@pytest.mark.parametrize("content", [b"", b"not an rpm at all\n", b"\xed\xab\xee\xdb" + bytes(200)])
def test_a_local_file_that_is_no_package_is_named(host: Host, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.rpm"
    broken.write_bytes(content)
    with unchanged(host):
        result = host.run("pkg-add", broken, check=1)
    assert str(broken) in result.stderr
    assert host.last()["outcome"] in {"failed", "refused"}


def test_a_local_package_that_is_cut_short_is_named(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "short", files={"/usr/share/short": "x" * 100_000})
    package.write_bytes(package.read_bytes()[:-40])
    with unchanged(host):
        result = host.run("pkg-add", package, check=1)
    assert str(package) in result.stderr or "short-1.0-1.noarch" in result.stderr


def test_a_local_package_that_the_base_has_is_refused(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "base-tool", files={"/usr/bin/base-tool": "#!/bin/sh\n"})
    with unchanged(host):
        result = host.run("pkg-add", package, check=1)
    assert "base-tool-1.0-1.noarch" in result.stderr


def test_a_local_package_that_is_requested_already_is_refused(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "local")
    host.ok("pkg-add", package)
    with unchanged(host):
        result = host.run("pkg-add", package, check=1)
    assert "local" in result.stderr


def test_a_package_for_another_architecture_is_refused(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "foreign", arch="aarch64")
    with unchanged(host):
        result = host.run("pkg-add", package, check=1)
    assert "foreign-1.0-1.aarch64" in result.stderr


# Repositories


@pytest.mark.parametrize("verb", [["pkg-add", "foo"], ["upgrade"]], ids=" ".join)
def test_an_unreachable_repository_is_named(
    host: Host, repository: Repository, base: BaseTree, verb: list[str]
) -> None:
    host.ok("pkg-add", "baz")
    base.commit(BRANCH, "2")
    host.set_repo(repository.repo_file("faraway", url=NOWHERE), name="faraway")
    before = host.deployments()
    result = host.run(*verb, check=1)
    assert "faraway" in result.stderr
    assert host.deployments() == before


def test_a_failing_server_fails_the_attempt_and_the_next_one_succeeds(
    install_host: InstallHost, repository: Repository, web: HttpServer
) -> None:
    host = install_host(repository.repo_file(url=web.url))
    web.fail("*.rpm", status=404)
    result = fails(host, "pkg-add", "foo")
    assert "foo" in result.stderr
    web.heal()
    host.ok("pkg-add", "foo")
    assert host.current()["requested"] == ["foo"]


def test_a_package_that_is_not_what_its_repository_says_is_refused(
    install_host: InstallHost, repository: Repository, web: HttpServer
) -> None:
    host = install_host(repository.repo_file(url=web.url))
    corrupt(repository.directory / "foo-1.0-1.noarch.rpm")
    result = fails(host, "pkg-add", "foo")
    assert "foo-1.0-1.noarch" in result.stderr
    repository.build("foo", files={"/usr/bin/foo": "#!/bin/sh\necho foo\n", "/usr/share/foo/data": "foo\n"})
    host.ok("pkg-add", "foo")


def test_a_package_in_a_local_repository_that_is_not_what_it_says_is_refused(
    host: Host, repository: Repository
) -> None:
    corrupt(repository.directory / "foo-1.0-1.noarch.rpm")
    result = fails(host, "pkg-add", "foo")
    assert "foo-1.0-1.noarch" in result.stderr


def test_an_unsigned_package_is_refused_where_signatures_are_asked_for(
    install_host: InstallHost, repository: Repository, signing_key: SigningKey, tmp_path: Path
) -> None:
    key = signing_key.export(tmp_path / "key.asc")
    host = install_host(repository.repo_file(gpgcheck=True, gpgkey=key))
    with unchanged(host):
        result = host.run("pkg-add", "foo", check=1)
    assert "foo-1.0-1.noarch" in result.stderr
    assert "sign" in result.stderr.lower()
    assert host.last()["outcome"] in {"failed", "refused"}


def test_a_package_signed_by_another_key_is_refused(
    install_host: InstallHost, repository: Repository, signing_key: SigningKey, tmp_path: Path
) -> None:
    key = signing_key.export(tmp_path / "key.asc")
    with SigningKey("Mallory <mallory@example.com>") as other:
        other.sign(repository.directory / "foo-1.0-1.noarch.rpm")
    repository.publish()
    host = install_host(repository.repo_file(gpgcheck=True, gpgkey=key))
    with unchanged(host):
        result = host.run("pkg-add", "foo", check=1)
    assert "foo-1.0-1.noarch" in result.stderr


def test_a_package_signed_by_the_repositorys_key_is_layered(
    install_host: InstallHost, repository: Repository, signing_key: SigningKey, tmp_path: Path
) -> None:
    key = signing_key.export(tmp_path / "key.asc")
    signing_key.sign(repository.directory / "foo-1.0-1.noarch.rpm")
    repository.publish()
    host = install_host(repository.repo_file(gpgcheck=True, gpgkey=key))
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == ["foo-1.0-1.noarch"]


def test_a_repo_file_that_is_not_one_is_named_and_the_others_serve(host: Host) -> None:
    host.set_repo("this is no ini file\n", name="broken")
    result = host.ok("pkg-add", "foo")
    assert "broken.repo" in result.stderr


def test_a_repo_file_that_is_not_one_is_named_where_a_package_is_missing(host: Host) -> None:
    host.set_repo("this is no ini file\n", name="broken")
    result = refused(host, "pkg-add", "zebra")
    assert "Packages not found: zebra" in result.stderr
    assert result.stderr.count("broken.repo") == 1


# Refspecs and remotes


@pytest.mark.parametrize("refspec", ["test:no/such/branch", "no-such-remote:os/stable", "no/such/local/branch"])
def test_an_unknown_refspec_is_named(host: Host, refspec: str) -> None:
    with unchanged(host):
        result = host.run("rebase", refspec, check=1)
    assert refspec in result.stderr or refspec.partition(":")[0] in result.stderr
    assert host.last()["outcome"] in {"failed", "refused"}


def test_a_refspec_that_is_none_is_an_error(host: Host) -> None:
    with unchanged(host):
        result = host.run("rebase", "not a refspec::", check=None)
    assert result.exit in {1, 2}
    assert "not a refspec::" in result.stderr


def test_an_unreachable_remote_is_named(host: Host, base: BaseTree) -> None:
    host.ok("pkg-add", "foo")
    base.repo.rename(base.repo.with_name("gone"))
    result = fails(host, "upgrade")
    assert "test" in result.stderr


# The sysroot


@pytest.mark.parametrize("command", [["status"], ["history"], ["pkg-add", "foo"]], ids=" ".join)
def test_a_directory_that_is_no_sysroot_is_named(tmp_path: Path, command: list[str]) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    result = Host(nothing).run(*command, check=1)
    assert str(nothing) in result.stderr
    assert list(nothing.iterdir()) == []


def test_a_sysroot_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = Host(tmp_path / "missing").run("pkg-add", "foo", check=1)
    assert str(tmp_path / "missing") in result.stderr
    assert not (tmp_path / "missing").exists()


def test_a_stateroot_that_is_not_there_is_named(host: Host) -> None:
    result = Host(host.sysroot, stateroot="elsewhere").run("pkg-add", "foo", check=1)
    assert "elsewhere" in result.stderr
    assert not (host.sysroot / "ostree/deploy/elsewhere").exists()


def test_a_stateroot_without_deployments_is_named(host: Host) -> None:
    host.admin("os-init", "empty")
    result = Host(host.sysroot, stateroot="empty").run("pkg-add", "foo", check=1)
    assert "empty" in result.stderr


def test_the_stateroot_need_not_be_named_when_there_is_one(host: Host) -> None:
    host.ok("pkg-add", "foo")
    command = [*host.command("status", "--json")]
    position = command.index("--os")
    del command[position : position + 2]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert f'"{STATEROOT}"' in done.stdout


def read_only(host: Host, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command while the host's file system is mounted read-only, in a mount namespace of its own."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(host.sysroot), *host.command(*args)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fresh", [True, False], ids=["without a journal", "with a journal"])
def test_a_read_only_sysroot_is_named_and_nothing_is_half_done(host: Host, fresh: bool) -> None:
    if not fresh:
        settled(host)
    before = host.snapshot_tree()
    done = read_only(host, "pkg-add", "foo")
    assert done.returncode == 1
    assert str(host.sysroot) in done.stderr
    assert "Traceback" not in done.stderr
    assert "as root" not in done.stderr  # which it is
    assert host.snapshot_tree() == before
    assert host.history() == [] if fresh else len(host.history()) == 1


def test_reading_needs_no_write_permission(host: Host) -> None:
    host.ok("pkg-add", "foo")
    for command in (["status"], ["history"], ["show", "2"]):
        assert read_only(host, *command).returncode == 0


def test_what_needs_metadata_names_the_cache_that_can_not_be_written(host: Host) -> None:
    """Regression: dnf's log, which could not be opened, was told as a broken rpmdb."""
    host.ok("pkg-add", "foo")
    done = read_only(host, "search", "foo")
    assert done.returncode == 1
    assert (
        f"The metadata cache {host.sysroot}/ostree/deploy/{STATEROOT}/var/cache/layer can't be written" in done.stderr
    )


# The lock


@pytest.mark.parametrize("command", [["pkg-add", "foo"], ["upgrade"], ["rollback"]], ids=" ".join)
def test_a_locked_sysroot_is_refused_naming_the_holder(host: Host, command: list[str]) -> None:
    settled(host)
    with host.locked() as pid:
        result = refused(host, *command, status=75)
    assert str(pid) in result.stderr
    host.ok("pkg-add", "foo")


def test_a_lock_on_a_host_without_a_journal_is_refused_as_well(host: Host) -> None:
    before = host.snapshot_tree()
    with host.locked() as pid:
        result = host.run("pkg-add", "foo", check=75)
    assert str(pid) in result.stderr
    assert host.snapshot_tree() == before


@pytest.mark.parametrize("command", [["status"], ["history"]], ids=" ".join)
def test_reading_does_not_wait_for_the_lock(host: Host, command: list[str]) -> None:
    host.ok("pkg-add", "foo")
    with host.locked():
        host.ok(*command)


# The journal


@pytest.mark.parametrize("command", [["pkg-add", "foo"], ["status"], ["history"], ["sync"]], ids=" ".join)
def test_a_journal_that_is_none_is_named_and_left_as_it_is(host: Host, command: list[str]) -> None:
    content = b"this is no database\n" * 100
    host.journal.parent.mkdir(parents=True)
    host.journal.write_bytes(content)
    before = host.snapshot_tree()
    result = host.run(*command, check=1)
    assert str(host.journal) in result.stderr
    assert "Traceback" not in result.stderr
    assert host.journal.read_bytes() == content
    assert host.snapshot_tree() == before


def test_a_journal_with_a_torn_page_is_named_and_nothing_is_built_on_it(host: Host) -> None:
    host.ok("pkg-add", "foo")
    torn = bytearray(host.journal.read_bytes())
    torn[100:] = bytes(len(torn) - 100)
    host.journal.write_bytes(torn)
    before = host.snapshot_tree()
    result = host.run("pkg-add", "baz", check=1)
    assert str(host.journal) in result.stderr
    assert "Traceback" not in result.stderr
    assert host.journal.read_bytes() == torn
    assert host.snapshot_tree() == before


def test_a_database_of_another_program_is_not_taken_for_a_journal(host: Host) -> None:
    host.journal.parent.mkdir(parents=True)
    with closing(sqlite3.connect(host.journal)) as other:
        other.execute("CREATE TABLE mine (a)")
    content = host.journal.read_bytes()
    result = host.run("pkg-add", "foo", check=1)
    assert str(host.journal) in result.stderr
    assert host.journal.read_bytes() == content
