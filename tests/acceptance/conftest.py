"""What acceptance tests stand on: a base, a repository of packages, and hosts that are checked at the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from tests.acceptance import rpms
from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.booted import NAMESPACES, Booted
from tests.acceptance.host import Host
from tests.acceptance.repositories import HttpServer, Repository, standard_repository
from tests.acceptance.rpms import SigningKey

CopyHost = Callable[[Host], Host]
"""Copies a host that several tests start from."""


class InstallHost(Protocol):
    """Installs one more host that follows the base's branch; without `repo_file` it has no repository."""

    def __call__(self, repo_file: str | None = None) -> Host: ...


class Shared(NamedTuple):
    """What the tests of one module start from. directory: for more files of theirs."""

    directory: Path
    base: BaseTree
    repository: Repository
    host: Host


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """One cache of packages and bases for all workers of the session, unless the caller named one to keep."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        if rpms.CACHE_VARIABLE not in os.environ:
            patch.setenv(rpms.CACHE_VARIABLE, str((base if worker_id == "master" else base.parent) / "ground"))
        yield


@pytest.fixture(autouse=True)
def hosts() -> Iterator[list[Host]]:
    """Every host of the test: sound to the last object when the test is over, and then removed."""
    installed: list[Host] = []
    yield installed
    try:
        for host in installed:
            host.fsck()
    finally:
        for host in installed:
            host.remove()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A host on version 1 of the base, with a repository, that `layer` has never touched; tests take copies of it."""
    directory = tmp_path_factory.mktemp("shared")
    base = BaseTree(directory / "remote")
    base.commit(BRANCH, "1")
    repository = standard_repository(directory / "packages")
    host = Host.install(directory / "sysroot", base.repo)
    host.set_repo(repository.repo_file())
    yield Shared(directory, base, repository, host)
    host.remove()


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """Version 1 of the base, committed to os/stable of a fresh repository."""
    tree = BaseTree(tmp_path / "remote")
    tree.commit(BRANCH, "1")
    return tree


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A published repository; tests build more packages into it and publish again."""
    return standard_repository(tmp_path / "packages")


@pytest.fixture
def web(repository: Repository) -> Iterator[HttpServer]:
    """The repository over HTTP, every request counted."""
    with HttpServer(repository.directory) as server:
        yield server


@pytest.fixture
def signing_key() -> Iterator[SigningKey]:
    with SigningKey() as key:
        yield key


@pytest.fixture
def install_host(tmp_path: Path, base: BaseTree, hosts: list[Host]) -> InstallHost:
    def install(repo_file: str | None = None) -> Host:
        host = Host.install(tmp_path / f"sysroot{len(hosts)}", base.repo)
        hosts.append(host)
        if repo_file is not None:
            host.set_repo(repo_file)
        return host

    return install


@pytest.fixture
def copy_host(tmp_path: Path, hosts: list[Host]) -> CopyHost:
    def copy(original: Host) -> Host:
        hosts.append(original.copy_to(tmp_path / f"sysroot{len(hosts)}"))
        return hosts[-1]

    return copy


@pytest.fixture
def host(install_host: InstallHost, repository: Repository) -> Host:
    """A host on version 1 of the base, with the repository configured, that `layer` has never touched."""
    return install_host(repository.repo_file())


@pytest.fixture
def booted(host: Host, tmp_path: Path) -> Booted:
    """A host that was booted into the layer with foo; the bare base is behind it."""
    if subprocess.run([*NAMESPACES, "mount", "-t", "proc", "proc", "/proc"], check=False).returncode:
        pytest.skip("namespaces are not to be had here")
    host.ok("pkg-add", "foo")
    return Booted(host, tmp_path / "run")
