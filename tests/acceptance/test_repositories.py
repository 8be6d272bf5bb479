"""Package repositories: fetched when asked to, searched, named when they fail, and not needed for what is cached."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import settled, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAZ, FOO, NOWHERE, HttpServer, Repository
from tests.acceptance.rpms import SigningKey


@pytest.fixture
def online(install_host: InstallHost, repository: Repository, web: HttpServer) -> Host:
    """A host whose repository is reached over HTTP."""
    return install_host(repository.repo_file(url=web.url))


# refresh-md, search


def test_refresh_md_fetches_metadata_however_young_it_is_and_records_nothing(online: Host, web: HttpServer) -> None:
    settled(online)
    before = online.history()
    with unchanged(online):
        assert online.json("refresh-md")[0]["id"] == "test"
        fetched = web.count("*/repomd.xml")
        [facts] = online.json("refresh-md")
    assert web.count("*/repomd.xml") > fetched
    assert facts["packages"] == 10
    assert facts["generated"].endswith("Z")
    assert online.history() == before


def test_search_finds_names_and_summaries_in_whatever_case(host: Host, repository: Repository) -> None:
    repository.build("foo", "2.0")
    repository.publish()
    found = host.json("search", "FOO")
    assert [(each["nevra"], each["matched"]) for each in found] == [
        ("foo-2.0-1.noarch", "name and summary"),
        ("foo-libs-1.0-1.x86_64", "name and summary"),
    ]
    assert {"name": "foo", "summary": "The foo package", "repository": "test"}.items() <= found[0].items()
    assert [each["name"] for each in host.json("search", "the ba")] == ["bar", "baz"]
    said = host.ok("search", "the ba").stdout.splitlines()
    assert said == ["===== Summary Matched =====", "bar : The bar package", "baz : The baz package"]


def test_search_without_a_match_says_so(host: Host) -> None:
    result = host.ok("search", "zebra")
    assert (result.stdout, result.stderr) == ("", "No matches found.\n")
    assert host.json("search", "zebra") == []


@pytest.mark.parametrize("command", [["refresh-md"], ["search", "foo"]], ids=" ".join)
def test_a_repository_that_is_not_to_be_had_is_named(host: Host, repository: Repository, command: list[str]) -> None:
    host.set_repo(repository.repo_file("broken", url=NOWHERE), "broken")
    result = host.run(*command, check=1)
    assert "Repository broken" in result.stderr
    assert NOWHERE in result.stderr
    assert result.stdout == ""


def test_search_uses_what_is_cached_where_it_is_told_to(online: Host, web: HttpServer) -> None:
    online.ok("refresh-md")
    web.fail()
    before = web.requests.total()
    assert [each["name"] for each in online.json("search", "baz", "-C")] == ["baz"]
    assert web.requests.total() == before


def test_without_metadata_the_cache_alone_is_an_error_that_names_the_repository(online: Host) -> None:
    assert "Repository test" in online.run("search", "-C", "foo", check=1).stderr


# How they are configured


def test_variables_are_those_of_the_deployment_and_of_the_tree(
    install_host: InstallHost, repository: Repository, tmp_path: Path
) -> None:
    repository.copy_to(tmp_path / "mirror/40/x86_64/blue")
    host = install_host(repository.repo_file(url=f"{(tmp_path / 'mirror').as_uri()}/$releasever/$basearch/$flavour"))
    host.write("/etc/dnf/vars/flavour", "blue\n")
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == [FOO]


def test_a_mirror_list_leads_to_the_mirror_that_answers(
    install_host: InstallHost, repository: Repository, web: HttpServer, tmp_path: Path
) -> None:
    mirrors = tmp_path / "mirrors"
    mirrors.write_text(f"{NOWHERE}/\n{web.url}/\n")
    text = repository.repo_file().replace(f"baseurl={repository.url}", f"mirrorlist={mirrors.as_uri()}")
    host = install_host(text)
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == [FOO]
    assert web.count("*.rpm") == 1


def test_a_disabled_repository_and_an_excluded_package_are_not_there(host: Host, repository: Repository) -> None:
    host.set_repo(repository.repo_file() + "excludepkgs=foo\n")
    assert "Packages not found: foo" in host.run("pkg-add", "foo", "baz", check=1).stderr
    host.set_repo(repository.repo_file().replace("enabled=1", "enabled=0"))
    assert "Packages not found: baz" in host.run("pkg-add", "baz", check=1).stderr


def test_metadata_is_signed_where_that_is_asked_for(
    install_host: InstallHost, repository: Repository, signing_key: SigningKey, tmp_path: Path
) -> None:
    key = signing_key.export(tmp_path / "key.asc")
    host = install_host(repository.repo_file(gpgkey=key) + "repo_gpgcheck=1\n")
    assert "Repository test" in host.run("pkg-add", "foo", check=1).stderr
    signing_key._gpg("--armor", "--detach-sign", str(repository.directory / "repodata/repomd.xml"))
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == [FOO]


# Downloaded now, used later


def test_what_was_downloaded_is_added_later_without_any_repository(online: Host, web: HttpServer) -> None:
    with unchanged(online):
        assert "Update downloaded." in online.ok("pkg-add", "--download-only", "bar").stdout
    assert online.last()["outcome"] == "unchanged"
    web.fail()
    before = web.requests.total()
    online.ok("pkg-add", "-C", "bar")
    assert online.current()["layered"] == ["bar-1.0-1.noarch", "foo-libs-1.0-1.x86_64"]
    assert web.requests.total() == before


def test_what_was_downloaded_from_a_directory_is_added_when_that_is_gone(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "--download-only", "foo")
    shutil.rmtree(repository.directory)
    host.ok("pkg-add", "-C", "foo")
    assert host.current()["layered"] == [FOO]


def test_an_upgrade_is_downloaded_now_and_made_later(
    online: Host, repository: Repository, web: HttpServer, base: BaseTree
) -> None:
    online.ok("pkg-add", "foo")
    repository.build("foo", "2.0")
    repository.publish()
    newer = base.commit(BRANCH, "2")
    online.ok("refresh-md")
    online.ok("upgrade", "--download-only")
    assert online.current()["layered"] == [FOO]
    web.fail()
    shutil.rmtree(base.repo)
    online.ok("upgrade", "-C")
    assert (online.current()["base_commit"], online.current()["layered"]) == (newer, ["foo-2.0-1.noarch"])


def test_what_is_not_cached_is_not_had_from_the_cache_alone(online: Host) -> None:
    online.ok("pkg-add", "foo")
    result = online.run("pkg-add", "-C", "baz", check=1)
    assert BAZ in result.stderr
    assert online.current()["layered"] == [FOO]


def test_nothing_to_download_is_said(host: Host) -> None:
    host.ok("pkg-add", "foo")
    assert "No upgrade available." in host.ok("upgrade", "--download-only").stdout


# By checksum


def test_a_package_made_anew_under_its_name_is_noticed_on_upgrade(
    online: Host, repository: Repository, web: HttpServer
) -> None:
    online.ok("pkg-add", "foo", "baz")
    repository.build("foo", files={"/usr/bin/foo": "#!/bin/sh\necho made anew\n"})
    repository.publish()
    online.ok("refresh-md")
    before = web.count("*.rpm")
    online.ok("upgrade")
    assert online.read("/usr/bin/foo") == "#!/bin/sh\necho made anew\n"
    assert online.last()["upgraded"] == [[FOO, FOO]]
    assert web.count("*.rpm") == before + 1


def test_a_deleted_cache_only_costs_time(online: Host, base: BaseTree, web: HttpServer) -> None:
    online.ok("pkg-add", "foo", "baz")
    shutil.rmtree(online.repo / "extensions/layer/pkgcache")
    base.commit(BRANCH, "2")
    before = web.count("*.rpm")
    online.ok("upgrade")
    assert online.current()["layered"] == [BAZ, FOO]
    assert web.count("*.rpm") == before + 2


@pytest.mark.parametrize("kind", ["file", "dirtree", "dirmeta", "commit"])
def test_a_deleted_object_of_the_cache_only_costs_time(online: Host, base: BaseTree, kind: str) -> None:
    online.ok("pkg-add", "foo", "baz")
    objects = sorted((online.repo / "extensions/layer/pkgcache/objects").glob(f"??/*.{kind}"))
    assert objects
    for each in objects:
        each.unlink()
    base.commit(BRANCH, "2")
    online.ok("upgrade")
    assert online.current()["layered"] == [BAZ, FOO]
    assert online.read("/usr/bin/foo") == "#!/bin/sh\necho foo\n"
    shutil.rmtree(online.repo / "extensions/layer/pkgcache")  # what the host has anyway was not missed there
