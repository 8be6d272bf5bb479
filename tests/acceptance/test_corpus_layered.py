"""Packages of the corpus beside each other, and by the command on a base whose rpmdb is an Amazon Linux 2023's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from journal.values import Package
from layering.errors import FileConflict
from tests.acceptance.bases import BRANCH, RPMDB, BaseTree, settle_rpmdb
from tests.acceptance.checks import fails
from tests.acceptance.conftest import InstallHost
from tests.acceptance.corpus import CORPUS, Packaged, PackagedFile, asked_of_rpm, entry_of, needs_corpus, rpms_in
from tests.acceptance.programs import BUSYBOX, with_libraries
from tests.acceptance.rpms import File, Files, nevra
from tests.layering.bases import Ground

pytestmark = needs_corpus

AMAZON = CORPUS / "rpmdb/amazonlinux2023-plain"

# Of the packages that fit Amazon Linux, those that are not layered with the others, and why.
APART = {
    "desktopfile-bad-section": "conflicts with desktopfile-good",
    "desktopfile-bad-binary": "conflicts with desktopfile-good",
    "erlang-test": "conflicts with erlang",
    "non-position-independent-exec": "conflicts with hello",
    "rpm-file-attrs": "systemd-sysusers does not take its fragment",
    "systemd-tmpfiles": "systemd-tmpfiles does not take its fragment: there is no user foo",
}


# Beside each other


def test_packages_conflict_where_they_do_for_rpm_and_nowhere_else(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    for name in ("passwd", "group"):
        path = tmp_path / "base/usr/lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{owner}:x:{n}:{n}::/:/\n" for n, owner in enumerate(("gold", "fish"), 900)))
    base = ground.base(tree=tmp_path / "base")
    wrong = {}
    verdicts = set()
    for one, other in pairs_that_differ():
        cached = [ground.cache.import_rpm(each.path, Package(each.nevra)) for each in (one, other)]
        for_rpm = conflicts_for_rpm(tmp_path / "empty", one, other)
        verdicts.add(bool(for_rpm))
        try:
            ground.grafted(base, cached)
            found = ""
        except FileConflict as error:
            found = re.findall(r"(/\S+)", str(error))[0].replace("/usr/etc/", "/etc/")
        if (found not in for_rpm) if found else for_rpm:
            wrong[one.path.name, other.path.name] = (found, for_rpm)
    assert wrong == {}
    assert verdicts == {True, False}


def pairs_that_differ() -> Iterator[tuple[Packaged, Packaged]]:
    """Packages of two names that have something different at one path of an image."""
    by_path: defaultdict[str, dict[tuple[str, PackagedFile], Packaged]] = defaultdict(dict)
    for package in asked_of_rpm([path for path in rpms_in() if entry_of(path) is None]):
        for file in package.files:
            if package.fits and re.match("/(usr|etc|opt)/", file.path):
                by_path[file.path].setdefault((package.nevra, file), package)
    pairs = {}
    for packages in by_path.values():
        for ((name, file), package), ((other_name, other_file), other) in combinations(packages.items(), 2):
            if name != other_name and file != other_file:
                pairs[package.path, other.path] = (package, other)
    yield from pairs.values()


def conflicts_for_rpm(root: Path, one: Packaged, other: Packaged) -> list[str]:
    """The paths at which rpm would not install both."""
    root.mkdir(exist_ok=True)
    command = ["rpm", "--install", "--test", "--nodeps", "--nosignature", "--root", str(root), "--dbpath", "/rpmdb"]
    done = subprocess.run([*command, one.path, other.path], capture_output=True, text=True, check=False)
    return re.findall(r"file (/\S+) conflicts between", done.stderr)


# On a base of others


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """What the scripts of these packages and the file triggers of that base need, and the database."""
    database = tmp_path / "rpmdb"
    database.mkdir()
    (database / "rpmdb.sqlite").write_bytes((AMAZON / "rpmdb.sqlite").read_bytes())
    settle_rpmdb(database)
    ldconfig = Path(shutil.which("ldconfig", path="/usr/sbin:/sbin") or "/usr/sbin/ldconfig")
    files: Files = {
        f"/{RPMDB}/rpmdb.sqlite": File((database / "rpmdb.sqlite").read_bytes()),
        "/usr/bin/bash": File(BUSYBOX.read_bytes(), mode=0o755),
        "/usr/sbin/ldconfig": File(ldconfig.read_bytes(), mode=0o755),
        **with_libraries("systemd-sysusers"),
    }
    tree = BaseTree(tmp_path / "remote").with_files(files)
    tree.commit(BRANCH, "1")
    return tree


def fitting() -> dict[str, Path]:
    """One RPM of each name that fits the base, by its name."""
    listed = [CORPUS / line for line in (AMAZON / "installable.txt").read_text().splitlines()]
    paths = [path for path in listed if path.exists() and entry_of(path) is None]
    return {package.nevra.rsplit("-", 2)[0]: package.path for package in asked_of_rpm(paths)}


def test_rpm_misses_what_was_left_out_of_packages_of_others_and_nothing_else(
    install_host: InstallHost, tmp_path: Path
) -> None:
    host = install_host()
    before = host.rpm_nevras()
    paths = [path for name, path in fitting().items() if name not in APART]
    notes = host.ok("pkg-add", *paths).stderr
    added = sorted(package.nevra for package in asked_of_rpm(paths))
    assert host.current()["layered"] == added
    assert sorted(host.rpm_nevras()) == sorted([*before, *(nevra(path) for path in paths)])
    root = host.boot(tmp_path)
    command = ["rpm", "--root", str(root), "--dbpath", f"/{RPMDB}", "--nosignature", "--verify", "--nomtime"]
    done = subprocess.run([*command, *map(nevra, paths)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    missing = re.findall(r"^missing +c? (/.*)$", done.stdout, re.MULTILINE)
    assert len(missing) == len(done.stdout.splitlines())
    assert sorted(missing) == sorted(re.findall(r": (/.*) is left out: ", notes))
    assert missing


def test_a_fragment_that_systemd_sysusers_does_not_take_is_told_and_the_host_is_what_it_was(
    install_host: InstallHost,
) -> None:
    result = fails(install_host(), "pkg-add", fitting()["rpm-file-attrs"])
    assert "systemd-sysusers could not apply /usr/lib/sysusers.d/rpm-file-attrs.conf" in result.stderr
