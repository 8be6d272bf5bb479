"""The resolver and its repositories: metadata that is fetched, kept or broken, and the packages that are downloaded."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from journal.values import Package
from layering.dnf_resolver import DnfResolver
from layering.errors import (
    ChecksumMismatch,
    PackagesNotFound,
    RepositoryError,
)
from layering.progress import Silent
from layering.resolver import Demand
from tests.acceptance import rpms
from tests.acceptance.repositories import Repository
from tests.layering.universes import World, build, demand, downloads, nevras, package, requests, resolve
from tests.layering.web import WebServer

FAULTY_MODULE = """---
document: modulemd
version: 1
data:
  name: thing
  stream: "1"
  version: 1
  summary: A thing
  description: A thing
"""


@pytest.fixture
def world(world: World) -> World:
    world.configure(world.repository.repo_file())
    return world


def test_an_unreachable_repository_is_named_with_its_url_unless_it_may_be_skipped(world: World) -> None:
    build(world, "app")
    world.repository.publish()
    lost = world.repository.repo_file("lost", url="http://127.0.0.1:1/os")
    world.configure(lost, "lost.repo")
    with pytest.raises(RepositoryError, match=r"Repository lost \(http://127\.0\.0\.1:1/os\) is not to be had: .*127"):
        resolve(world, "app")
    world.configure(lost + "skip_if_unavailable=1\n", "lost.repo")
    resolution = world.resolver().resolve(Demand(requests("app")))
    assert nevras(resolution) == ["app-1.0-1.noarch"]
    assert len(resolution.notes) == 1
    assert resolution.notes[0].startswith("Repository lost (http://127.0.0.1:1/os) is not to be had: ")


def test_a_repository_gone_from_disk_and_a_broken_one_are_named(world: World) -> None:
    world.repository.directory.rmdir()
    with pytest.raises(RepositoryError, match=r"Repository test \(file://.*packages\) is not to be had: "):
        resolve(world, "app")
    (world.repository.directory / "repodata").mkdir(parents=True)
    (world.repository.directory / "repodata/repomd.xml").write_text("not xml")
    with pytest.raises(RepositoryError, match="Repository test"):
        resolve(world, "app")


def test_enabled_excludes_priority_and_variables_of_repo_files_are_honoured(world: World) -> None:
    build(world, "app", "2.0")
    build(world, "plain")
    build(world, "secret")
    world.repository.publish()
    preferred = Repository(world.directory / "preferred-40-x86_64")
    preferred.build("app", "1.0")
    preferred.publish()
    disabled = Repository(world.directory / "disabled")
    disabled.build("app", "3.0")
    disabled.publish()
    variables = world.deployment / "etc/dnf/vars"
    variables.mkdir(parents=True)
    (variables / "which").write_text("preferred\n")
    world.configure(world.repository.repo_file() + "excludepkgs=secret\n")
    url = f"file://{world.directory}/$which-$releasever-$basearch"
    world.configure(preferred.repo_file("preferred", url=url) + "priority=10\n", "preferred.repo")
    world.configure(disabled.repo_file("off").replace("enabled=1", "enabled=0"), "off.repo")
    assert resolve(world, "app", "plain") == ["app-1.0-1.noarch", "plain-1.0-1.noarch"]
    with pytest.raises(PackagesNotFound, match="secret"):
        resolve(world, "secret")


def test_metadata_is_fetched_once_and_again_when_asked_to(world: World) -> None:
    build(world, "app")
    world.repository.publish()
    with WebServer(world.repository.directory) as web:
        world.configure(world.repository.repo_file(url=web.url))
        assert resolve(world, "app") == ["app-1.0-1.noarch"]
        once = web.count()
        assert once
        build(world, "app", "2.0")
        world.repository.publish()
        assert resolve(world, "app") == ["app-1.0-1.noarch"]
        assert web.count() == once
        resolver = world.resolver()
        resolver.refresh()
        assert nevras(resolver.resolve(Demand(requests("app")))) == ["app-2.0-1.noarch"]
        assert web.count() > once


def test_an_interrupt_while_waiting_for_a_repository_is_an_interrupt(world: World) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        world.configure(world.repository.repo_file(url=f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        names = "from pathlib import PosixPath; from tests.acceptance.bases import BaseTree"
        program = f"{names}; from {__name__} import *; wait({world!r})"
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = deaf.accept()
            connection.recv(100)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
            deaf.setblocking(False)
            with pytest.raises(BlockingIOError):
                deaf.accept()  # it was not tried again
            connection.close()
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


def wait(world: World) -> None:
    world.resolver().resolve(Demand(requests("app")))


def test_a_faulty_module_description_is_noted_and_does_not_get_in_the_way(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    build(world, "app")
    world.repository.publish()
    modules = world.directory / "modules.yaml"
    modules.write_text(FAULTY_MODULE)
    command = ["modifyrepo_c", "--mdtype=modules", str(modules), str(world.repository.directory / "repodata")]
    subprocess.run(command, check=True, capture_output=True)
    capfd.readouterr()
    resolution = world.resolver().resolve(Demand(requests("app")))
    assert nevras(resolution) == ["app-1.0-1.noarch"]
    assert any("license" in note for note in resolution.notes)
    assert capfd.readouterr() == ("", "")


def test_packages_are_those_of_the_base_architecture(world: World) -> None:
    for arch in ("x86_64", "aarch64"):
        build(world, "app", arch=arch)
    world.repository.publish()
    world.base = world.base.without_packages("bash", "filesystem")
    for arch in ("x86_64", "aarch64"):
        resolution = world.resolver(basearch=arch).resolve(Demand(requests("app")))
        assert nevras(resolution) == [f"app-1.0-1.{arch}"]


def test_a_repository_on_disk_is_looked_at_each_time(world: World) -> None:
    build(world, "app")
    world.repository.publish()
    assert resolve(world, "app") == ["app-1.0-1.noarch"]
    build(world, "app", "2.0")
    world.repository.publish()
    assert resolve(world, "app") == ["app-2.0-1.noarch"]


def test_cacheonly_uses_what_is_cached_and_nothing_else(world: World) -> None:
    build(world, "app")
    build(world, "more")
    world.repository.publish()
    with WebServer(world.repository.directory) as web:
        world.configure(world.repository.repo_file(url=web.url) + "metadata_expire=0\n")
        with pytest.raises(RepositoryError, match="Repository test"):
            world.resolver(cacheonly=True).resolve(Demand(requests("app")))
        resolver = world.resolver()
        resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
        before = web.count()
        resolver = world.resolver(cacheonly=True)
        app, more = resolver.resolve(Demand(requests("app", "more"))).packages
        assert resolver.download([app], Silent())
        with pytest.raises(RepositoryError, match=r"not in the cache.*: more-1\.0-1\.noarch"):
            resolver.download([more], Silent())
        assert web.count() == before


@pytest.mark.parametrize("checksum", ["sha256", "sha512", "sha1"])
def test_downloads_come_with_their_sha256_whatever_the_metadata_has(world: World, checksum: str) -> None:
    app = build(world, "app", files={"/usr/share/app": "x" * 100_000})
    rpms_made = world.repository.packages()
    world.repository.publish()
    republish(world.repository, checksum)
    with WebServer(world.repository.directory) as web:
        for url in (world.repository.url, web.url):
            world.configure(world.repository.repo_file(url=url))
            resolver = world.resolver()
            resolution = resolver.resolve(Demand(requests("app")))
            progress = Steps()
            files = resolver.download(resolution.packages, progress)
            assert list(files) == [package(app)]
            assert files[package(app)].read_bytes() == app.read_bytes()
            assert progress.said == ([("Downloading 1 package", app.stat().st_size)] if url == web.url else [])
            assert progress.amount == (app.stat().st_size if url == web.url else 0)
    assert rpms_made == [app]
    asked = demand(world, "app", kept=(app,), policy="upgrade")
    assert downloads(world.resolver().resolve(asked), asked) == []


def republish(repository: Repository, checksum: str) -> None:
    shutil.rmtree(repository.directory / "repodata")
    command = f"createrepo_c --quiet --no-database --checksum {checksum} '{repository.directory}'"
    assert os.system(command) == 0  # noqa: S605


class Steps:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int | None]] = []
        self.amount = 0

    def step(self, title: str, total: int | None = None) -> None:
        self.said.append((title, total))

    def advance(self, amount: int) -> None:
        self.amount += amount

    def done(self) -> None:
        pass


@pytest.mark.parametrize("over_http", [False, True])
def test_a_damaged_package_is_refused_with_both_checksums(world: World, over_http: bool) -> None:
    app = build(world, "app")
    world.repository.publish()
    expected = rpms.sha256(app)
    rpms.corrupt(app)
    with WebServer(world.repository.directory) as web:
        world.configure(world.repository.repo_file(url=web.url if over_http else None))
        resolver = world.resolver()
        resolution = resolver.resolve(Demand(requests("app")))
        with pytest.raises(ChecksumMismatch) as refused:
            resolver.download(resolution.packages, Silent())
    assert refused.value.message == (
        f"Package app-1.0-1.noarch from repository test has the wrong checksum: "
        f"expected sha256 {expected}, found {rpms.sha256(app)}"
    )


def test_a_missing_package_of_a_repository_is_named(world: World) -> None:
    app = build(world, "app")
    world.repository.publish()
    app.unlink()
    with WebServer(world.repository.directory) as web:
        for url in (web.url, world.repository.url):
            world.configure(world.repository.repo_file(url=url))
            resolver = world.resolver()
            resolution = resolver.resolve(Demand(requests("app")))
            with pytest.raises(RepositoryError, match=r"app-1\.0-1\.noarch.*test"):
                resolver.download(resolution.packages, Silent())


def test_a_file_of_the_same_name_from_before_is_downloaded_anew_and_a_good_one_is_not(world: World) -> None:
    build(world, "app", files={"/usr/share/app": "before"})
    world.repository.publish()
    with WebServer(world.repository.directory) as web:
        world.configure(world.repository.repo_file(url=web.url))
        for content in ("before", "after!"):
            app = build(world, "app", files={"/usr/share/app": content})
            world.repository.publish()
            resolver = world.resolver()
            resolver.refresh()
            for _ in range(2):
                files = resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
                assert files == {package(app): world.cache_dir / "packages/test/app-1.0-1.noarch.rpm"}
        assert web.count("*.rpm") == 2


def test_packages_are_located_by_nevra_and_checksum(world: World) -> None:
    app = build(world, "app")
    build(world, "app", "2.0")
    build(world, "hidden")
    world.repository.publish()
    world.configure(world.repository.repo_file() + "excludepkgs=hidden\n")
    there = Package("app-1.0-1.noarch", rpms.sha256(app), "gone-repository", "key")
    by_name = Package("hidden-1.0-1.noarch")
    other = Package("app-2.0-1.noarch", "0" * 64)
    absent = Package("never-1.0-1.noarch", "1" * 64)
    resolver = world.resolver()
    located = resolver.locate([there, by_name, other, absent])
    assert located.missing == (other, absent)
    assert [(each.nevra, each.repository) for each in located.found] == [
        ("app-1.0-1.noarch", "test"),
        ("hidden-1.0-1.noarch", "test"),
    ]
    assert resolver.download([there], Silent()) == {package(app): app}
    with pytest.raises(RepositoryError, match=r"no longer in any repository: app-2\.0-1\.noarch \(sha256 0+\)"):
        resolver.download([other], Silent())


def test_nothing_is_written_but_the_cache_and_nothing_is_said(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(world, "app")
    world.repository.publish()
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setattr("tempfile.tempdir", None)
    watched = [Path(each) for each in ("/var/log", "/var/cache", "/var/lib", "/var/tmp", "/etc")]  # noqa: S108
    before = snapshot(*watched, world.deployment, world.repository.directory)
    with WebServer(world.repository.directory) as web:
        world.configure(world.repository.repo_file(url=web.url))
        before |= snapshot(world.deployment)
        resolver = world.resolver()
        resolver.download(resolver.resolve(Demand(requests("app"))).packages, Silent())
        with pytest.raises(PackagesNotFound):
            resolver.resolve(Demand(requests("absent")))
        resolver.close()
    assert snapshot(*watched, world.deployment, world.repository.directory) == before
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def snapshot(*directories: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                path = Path(parent, name)
                if path.is_file() and not path.is_symlink() and "rpm-tmp" not in name:
                    status = path.stat()
                    found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def test_several_resolvers_live_side_by_side_and_close_twice(world: World) -> None:
    build(world, "app")
    world.repository.publish()
    first, second = world.resolver(), world.resolver()
    assert nevras(first.resolve(Demand(requests("app")))) == nevras(second.resolve(Demand(requests("app"))))
    first.close()
    first.close()
    assert nevras(second.resolve(Demand(requests("app")))) == ["app-1.0-1.noarch"]
    with DnfResolver(second._universe.universe) as third:
        assert third.provided_by_base(["bash"])
