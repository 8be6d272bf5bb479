"""The yum repositories of the corpus, dnf's own for its tests, as a host's: what each of them is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, OS_RELEASE, BaseTree
from tests.acceptance.checks import fails, refused, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.corpus import CORPUS, needs_corpus, rpms_in
from tests.acceptance.host import Host
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File

pytestmark = needs_corpus

REPOSITORIES = CORPUS / "repos/ci-dnf-stack"

Following = Callable[..., Host]
"""Installs a host that follows these repositories of the corpus."""


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """A base of the platform that the modules are made for."""
    platform = {"/usr/lib/os-release": File(OS_RELEASE + 'PLATFORM_ID="platform:f29"\n')}
    tree = BaseTree(tmp_path / "remote").with_files(platform)
    tree.commit(BRANCH, "1")
    return tree


@pytest.fixture
def following(install_host: InstallHost) -> Following:
    def install(*names: str) -> Host:
        return install_host(
            "".join(Repository(REPOSITORIES / f"dnf-ci-{name}").repo_file(f"dnf-ci-{name}") for name in names)
        )

    return install


@pytest.mark.parametrize(
    ("repositories", "asked"),
    [
        pytest.param(
            ["rich"],
            {
                "pancake": ["milk-1.0-1", "pancake-1.0-1"],  # milk or soymilk, milk is recommended
                "pancake water": ["pancake-1.0-1", "soymilk-1.0-1", "water-1.0-1"],  # milk conflicts with water
                "porridge": ["porridge-1.0-1"],  # milk if (float or oat)
                "porridge oat": ["milk-1.0-1", "oat-1.0-1", "porridge-1.0-1"],
                "soup dill": ["cream-1.0-1", "dill-1.0-1", "soup-1.0-1", "water-1.0-1"],  # water and (cream if dill)
            },
            id="rich dependencies",
        ),
        pytest.param(
            ["obsoletes"],
            {
                "PackageA": ["PackageA-3.0-1"],  # newer than what is obsoleted
                "PackageB": ["PackageB-Obsoleter-1.0-1"],
                "PackageB-1.0": ["PackageB-1.0-1"],  # by its version it is had nevertheless
            },
            id="obsoletes",
        ),
        pytest.param(
            ["install-remove"],
            {
                "coffee": ["coffee-1.0-1", "sugar-1.0-1", "water-1.0-1"],  # not the newest sugar
                "chockolate": ["chockolate-1.0-1", "milk-1.0-1", "sugar-2.0-1"],
                "hot-beverage": ["tea-1.0-1", "water-1.0-1"],
            },
            id="versions",
        ),
        pytest.param(
            ["fedora", "fedora-modular"],
            {
                # The packages of a module's default stream come before all others of their names; where it has no
                # default, its packages are not there.
                "postgresql-libs": ["postgresql-libs-9.6.8-1.module_1710+b535a823"],
                "dwm": ["dwm-6.1-1"],
            },
            id="modules",
        ),
    ],
)
def test_what_is_asked_for_comes_with_what_it_needs(
    following: Following, repositories: list[str], asked: dict[str, list[str]]
) -> None:
    host = following(*repositories)
    for specs, expected in asked.items():
        host.ok("pkg-add", *specs.split())
        layered = [nevra.rpartition(".")[0] for nevra in host.current()["layered"]]
        assert [name for name in layered if name not in COMPANIONS] == expected
        host.ok("pkg-delete", *specs.split())


# What packages of dnf-ci-fedora need of it for want of a real glibc.
COMPANIONS = (
    "basesystem-11-6.fc29",
    "glibc-2.28-9.fc29",
    "glibc-all-langpacks-2.28-9.fc29",
    "glibc-common-2.28-9.fc29",
    "setup-2.12.1-1.fc29",
)


@pytest.mark.parametrize(
    ("repositories", "asked"),
    [
        pytest.param(
            ["obsoletes", "install-remove"],
            {
                "PackageB-Obsoleter PackageB-2.0": "obsoletes PackageB < 3.0 provided by PackageB-2.0",
                "coffee chockolate": "package coffee-1.0-1.x86_64 requires sugar = 1.0-1",
                "mate": "nothing provides water >= 2 needed by mate-1.0-1.x86_64",
            },
            id="dependencies",
        ),
        pytest.param(
            ["scriptlets"],
            {
                f"Package-{section}-fail": f"%{section} failed with exit status 1: .* failing on {section} scriptlet"
                for section in ("pre", "post", "posttrans")
            },
            id="scriptlets",
        ),
        pytest.param(
            ["fedora", "gpg"],
            {
                "kernel": "kernel-core-4.18.16-300.fc29.x86_64 is a kernel",
                "broken-package": "broken-package-0.2.4-1.fc29.noarch.rpm is damaged: its payload's sha256",
            },
            id="content",
        ),
    ],
)
def test_what_can_not_be_had_is_told_and_the_host_is_what_it_was(
    following: Following, repositories: list[str], asked: dict[str, str]
) -> None:
    host = following(*repositories)
    for specs, reason in asked.items():
        assert re.search(reason, fails(host, "pkg-add", *specs.split()).stderr), specs


def test_packages_of_a_stream_that_is_not_the_default_are_not_there(following: Following) -> None:
    result = refused(following("fedora", "fedora-modular"), "pkg-add", "npm-10.11.0")
    assert "Packages not found: npm-10.11.0" in result.stderr


def test_scriptlets_that_are_of_no_account_here_do_not_get_in_the_way(following: Following) -> None:
    host = following("scriptlets")
    never = [f"Package-{section}-fail" for section in ("pretrans", "preun", "postun")]
    well = [f"Package-{section}-ok" for section in ("pretrans", "pre", "post", "posttrans", "preun", "postun")]
    host.ok("pkg-add", *never, *well)
    assert host.current()["layered"] == sorted(f"{name}-1.0-1.x86_64" for name in (*never, *well))
    host.ok("pkg-delete", *never, *well)
    assert host.current()["layered"] == []


def test_a_directory_takes_the_place_of_a_link_when_a_package_is_exchanged_for_its_next_version(
    following: Following,
) -> None:
    host = following("fileconflicts")
    host.ok("pkg-add", "FileConflict-1.0")
    place = "/usr/lib/FileConflict/a_dir"
    assert host.path(place).readlink() == Path("../FileConflict.bundled/a_dir")
    host.ok("pkg-add", "FileConflict-2.0.streamB", "--uninstall", "FileConflict-1.0")
    assert host.path(f"{place}/a_file").is_file()
    assert not host.exists("/usr/lib/FileConflict.bundled")


def test_all_of_them_are_read_at_once(following: Following) -> None:
    names = sorted(path.name.removeprefix("dnf-ci-") for path in REPOSITORIES.iterdir())
    host = following(*names)
    with unchanged(host):
        read = {each["id"]: each["packages"] for each in host.json("refresh-md")}
    assert read == {f"dnf-ci-{name}": len(rpms_in(REPOSITORIES / f"dnf-ci-{name}")) for name in names}
