"""What `make package` makes: an RPM that layer itself lays on a host, and that starts from there."""

from __future__ import annotations

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rpm

from layering.version import VERSION
from tests.acceptance.bases import BaseTree
from tests.acceptance.conftest import CopyHost
from tests.acceptance.host import Host, environment
from tests.acceptance.rpms import build_rpm, header

ROOT = Path(__file__).parents[2]
PRIVATE = "/usr/lib/layer"
LAYER = f"layer-{VERSION}-1.noarch"
# What layer needs, by Fedora's names, at the lowest versions that it takes.
PLATFORM = [
    "/usr/bin/python3",
    "bubblewrap",
    "ostree-libs",
    "python3 = 3.11",
    "python3-dnf",
    "python3-gobject-base",
    "python3-rpm",
    "python3dist(click) = 8.1",
    "python3dist(cryptography) = 38",
    "python3dist(msgspec) = 0.19",
    "python3dist(rich) = 13",
    "python3dist(sqlite-utils) = 4",
    "python3dist(structlog) = 24.1",
    "util-linux",
]

# The libraries that the distribution would have are those of the venv; layer itself is in nothing but the tree.
LIBRARIES = environment({"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"})

pytestmark = pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="rpmbuild is not installed")


def make(directory: Path, **variables: str) -> tuple[Path, Path]:
    """Build the RPM and the source RPM as `make package` does, and return them."""
    command = [str(ROOT / "packaging/package"), str(directory)]
    done = subprocess.run(command, env=environment(variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    package, source = map(Path, done.stdout.split())
    return package, source


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def layered(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with the package laid on a base that has what it needs."""
    directory = tmp_path_factory.mktemp("layered")
    platform = build_rpm(directory, "platform", provides=PLATFORM)
    base = BaseTree(directory / "remote").with_packages([platform])
    base.commit()
    host = Host.install(directory / "sysroot", base.repo)
    host.ok("pkg-add", built[0])
    yield host
    host.remove()


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources(folders: Iterable[str]) -> list[str]:
    """The files of these folders of the project, bytecode left out."""
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__")


def test_it_holds_the_four_rooms_and_nothing_of_the_workshop(built: tuple[Path, Path]) -> None:
    hdr = header(built[0])
    held = set(hdr[rpm.RPMTAG_FILENAMES])
    rooms = sources(pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    modules = {f"{PRIVATE}/{name}" for name in rooms}
    bytecode = {importlib.util.cache_from_source(name) for name in modules if name.endswith(".py")}
    private = {name for name in held if name.startswith(f"{PRIVATE}/")}
    folders = {str(Path(name).parent) for name in modules | bytecode} - {PRIVATE}
    assert private == modules | bytecode | folders
    documents = {name for name in held if name.startswith("/usr/share/doc/layer/")}
    assert {f"/usr/share/doc/layer/{name}" for name in ("README.md", "CHANGELOG.md", "journal.md")} <= documents
    assert held - private - documents == {
        "/usr/bin/layer",
        PRIVATE,
        "/usr/share/bash-completion/completions/layer",
        "/usr/share/doc/layer",
        "/usr/share/fish/vendor_completions.d/layer.fish",
        "/usr/share/licenses/layer",
        "/usr/share/licenses/layer/LICENSE",
        "/usr/share/man/man8/layer.8.gz",
        "/usr/share/zsh/site-functions/_layer",
    }
    assert set(hdr[rpm.RPMTAG_FILEUSERNAME]) == set(hdr[rpm.RPMTAG_FILEGROUPNAME]) == {"root"}


def test_its_metadata_is_that_of_the_project(built: tuple[Path, Path]) -> None:
    hdr, project = header(built[0]), pyproject()["project"]
    assert (hdr["nevra"], hdr["license"]) == (LAYER, project["license"])
    assert [path.name for path in built] == [f"{LAYER}.rpm", f"layer-{VERSION}-1.src.rpm"]
    required = {each.DNEVR().removeprefix("R ") for each in rpm.ds(hdr, "requires")}
    for name, bound in (dependency.split(">=") for dependency in project["dependencies"] if dependency != "rpm"):
        # For rpm 4 is older than 4.0, and what the distribution's packages provide is written without the zero.
        assert f"python3dist({name}) >= {bound.removesuffix('.0')}" in required
    assert f"python3 {project['requires-python'].replace('>=', '>= ')}" in required
    assert not [name for name in required if name.startswith("python(abi)")]  # it runs on any Python from there on


def test_the_same_commit_gives_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        again = make(tmp_path / "elsewhere", TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(before)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_source_package_alone_makes_the_same_payload(built: tuple[Path, Path], tmp_path: Path) -> None:
    macros = {"_topdir": str(tmp_path), "_rpmdir": str(tmp_path), "__python3": sys.executable}
    defines = [part for name, value in macros.items() for part in ("--define", f"{name} {value}")]
    # What BuildRequires names is in the venv, of which rpm knows nothing.
    command = ["rpmbuild", "--rebuild", "--nodeps", *defines, str(built[1])]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (rebuilt,) = tmp_path.glob(f"noarch/{LAYER}.rpm")
    digests = [header(path)[rpm.RPMTAG_PAYLOADDIGEST] for path in (built[0], rebuilt)]
    assert digests[0] == digests[1]


def test_layer_lays_it_on_a_host_where_it_starts_and_takes_itself_away(
    layered: Host, copy_host: CopyHost, tmp_path: Path
) -> None:
    host = copy_host(layered)

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=LIBRARIES, capture_output=True, text=True, check=False)

    missing = run("/usr/bin/python3", "-sP", "-c", "import cli")
    assert "No module named 'cli'" in missing.stderr
    packaged = host.path("/usr/bin/layer")
    started = run(packaged, "--version")
    assert (started.stdout, started.stderr) == (f"layer {VERSION}\n", "")
    on_host = (packaged, "--sysroot", host.sysroot, "--os", host.stateroot)
    assert LAYER in run(*on_host, "show", "last").stdout
    removed = run(*on_host, "pkg-delete", "layer")
    assert removed.returncode == 0, removed.stderr
    assert host.current()["layered"] == []
    assert (host.last()["verb"], host.last()["removed"]) == ("pkg-delete", [LAYER])


def test_deployed_it_starts_from_its_bytecode(layered: Host) -> None:
    packaged = layered.path("/usr/bin/layer")
    command = ["/usr/bin/python3", "-sPvv", str(packaged), "history", "--help"]
    done = subprocess.run(command, env=LIBRARIES, capture_output=True, text=True, check=True)
    loaded = re.findall(rf"# code object from '?.*{PRIVATE}/(.*?)'?\n", done.stderr)
    assert f"cli/__pycache__/history.{sys.implementation.cache_tag}.pyc" in loaded
    assert not [name for name in loaded if name.endswith(".py")]


def test_deployed_it_has_its_manual_and_is_completed_by_bash(layered: Host) -> None:
    manual = gzip.decompress(layered.path("/usr/share/man/man8/layer.8.gz").read_bytes())
    assert manual == (ROOT / "docs/layer.8").read_bytes()
    script = (
        f"PATH={layered.path('/usr/bin/layer').parent}:$PATH\n"
        f"source {layered.path('/usr/share/bash-completion/completions/layer')}\n"
        "COMP_WORDS=(layer roll) COMP_CWORD=1\n"
        "_layer_completion layer\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["/bin/bash", "-c", script], env=LIBRARIES, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("rollback\n", "")
