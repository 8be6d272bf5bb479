"""The base's rpmdb, out of its commit and with more packages in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import rpm

from layering.cached_package import CachedPackage
from layering.errors import BaseError, LayeringError
from layering.librpm import DBPATH
from layering.rpmdb import (
    checkout_rpmdb,
    database_files,
    install,
    installed,
    owner_of,
    package_list,
    rpmdb_directory,
)
from tests.acceptance.bases import BaseTree, ostree
from tests.acceptance.rpms import File
from tests.layering.bases import BASE_TIME, Ground

STANDARD = ["base-tool-1.0-1.noarch", "bash-5.2.26-3.x86_64", "fedora-release-40-1.noarch", "filesystem-3.18-1.x86_64"]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def base(ground: Ground) -> str:
    return ground.base()


def prefixes(*packages: CachedPackage) -> list[bytes]:
    return [package.prefix for package in packages]


def test_only_the_database_is_checked_out_as_a_private_copy(ground: Ground, base: str, tmp_path: Path) -> None:
    directory = checkout_rpmdb(ground.repo, base, tmp_path / "root")
    assert directory == tmp_path / "root" / DBPATH
    assert [path.relative_to(tmp_path / "root") for path in (tmp_path / "root").rglob("*") if path.is_file()] == [
        Path(DBPATH) / "rpmdb.sqlite"
    ]
    assert (directory / "rpmdb.sqlite").stat().st_nlink == 1
    with (directory / "rpmdb.sqlite").open("ab") as file:
        file.write(b"?")
    ground.fsck()


@pytest.mark.parametrize("link_at", ["usr/share/rpm", "usr/lib/sysimage/rpm"])
def test_the_database_is_found_on_either_side_of_the_link(ground: Ground, tmp_path: Path, link_at: str) -> None:
    tree = shutil.copytree(BaseTree(tmp_path / "remote").compose(), tmp_path / "tree", symlinks=True)
    if link_at == "usr/share/rpm":
        (tree / "usr/lib/sysimage").mkdir()
        (tree / "usr/share/rpm").rename(tree / "usr/lib/sysimage/rpm")
        (tree / "usr/share/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    else:
        (tree / "usr/lib/sysimage").mkdir()
        (tree / "usr/lib/sysimage/rpm").symlink_to("../../share/rpm")
    base = ground.base(tree=tree)
    real = {"usr/share/rpm", "usr/lib/sysimage/rpm"} - {link_at}
    assert {rpmdb_directory(ground.repo, base)} == real
    checkout_rpmdb(ground.repo, base, tmp_path / "root")
    assert installed(tmp_path / "root") == STANDARD
    composed = ground.composed(base, [ground.package("foo", {})])
    checkout_rpmdb(ground.repo, composed.commit, tmp_path / "layered")
    assert installed(tmp_path / "layered") == sorted([*STANDARD, "foo-1.0-1.noarch"])
    assert ground.find(composed.commit, link_at) == ground.find(base, link_at)


def test_a_base_without_a_database_is_no_base(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "tree/usr").mkdir(parents=True)
    base = ground.base(tree=tmp_path / "tree")
    with pytest.raises(BaseError, match=f"{base} has no rpmdb"):
        checkout_rpmdb(ground.repo, base, tmp_path / "root")


def test_a_damaged_database_is_said_and_librpm_is_silent(
    ground: Ground, base: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = checkout_rpmdb(ground.repo, base, tmp_path / "root")
    (directory / "rpmdb.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(LayeringError, match="rpmdb can't be read"):
        installed(tmp_path / "root")
    with pytest.raises(LayeringError, match="could not enter the packages"):
        install(tmp_path / "root", prefixes(ground.package("foo", {})), BASE_TIME)
    assert capfd.readouterr() == ("", "")


def test_what_is_installed_and_who_owns_a_path(ground: Ground, base: str, tmp_path: Path) -> None:
    checkout_rpmdb(ground.repo, base, tmp_path)
    assert installed(tmp_path) == STANDARD
    assert owner_of(tmp_path, "/usr/bin/bash") == ("bash-5.2.26-3.x86_64", 0)
    assert owner_of(tmp_path, "/usr/bin/nothing") is None
    assert owner_of(tmp_path, "/usr/bin/base-tool") == ("base-tool-1.0-1.noarch", 0)
    assert package_list(tmp_path)[0] == ("base-tool", "0", "1.0", "1", "noarch")


def test_packages_are_entered_and_no_file_is_made(ground: Ground, base: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    checkout_rpmdb(ground.repo, base, root)
    foo = ground.package(
        "foo", {"/usr/bin/foo": "x\n", "/var/lib/foo": File(directory=True), "/usr/lib/g": File(ghost=True)}
    )
    install(root, prefixes(foo, ground.package("foo", {"/usr/bin/foo": "x\n"}, "2.0")), BASE_TIME)
    assert installed(root) == sorted([*STANDARD, "foo-1.0-1.noarch", "foo-2.0-1.noarch"])
    assert owner_of(root, "/usr/lib/g") == ("foo-1.0-1.noarch", 0)
    assert not (root / "usr/bin").exists()
    assert not (root / "var").exists()
    assert [path.name for path in database_files(root)] == ["rpmdb.sqlite"]


def test_the_same_packages_give_the_same_bytes_wherever_and_whenever(
    ground: Ground, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = [
        ground.package("a", {"/bin/a": "a", "/usr/share/both": "x"}),
        ground.package("b", {"/lib64/b": "b", "/usr/share/both": "x", "/etc/b": File("b", config=True)}),
        ground.package("base-tool", {"/usr/bin/base-tool": "#!/bin/sh\n"}, "2.0"),
    ]
    contents = set()
    for attempt, order in enumerate((packages, packages[::-1], [packages[1], packages[2], packages[0]])):
        root = tmp_path / f"{'longer-' * attempt}root"
        checkout_rpmdb(ground.repo, base, root)
        if attempt == 1:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
            monkeypatch.setenv("TZ", "Asia/Tokyo")
            (root / "usr/bin").mkdir()
            rpm.addMacro("_install_langs", "de")
            rpm.addMacro("_transaction_color", "0")
        install(root, prefixes(*order), BASE_TIME)
        contents.add(tuple(path.read_bytes() for path in database_files(root)))
        time.sleep(1.01)
    rpm.delMacro("_install_langs")
    rpm.delMacro("_transaction_color")
    assert len(contents) == 1
    assert os.environ["SOURCE_DATE_EPOCH"] == "1"


def test_a_layer_s_database_is_read_where_nothing_can_be_written(ground: Ground, tmp_path: Path) -> None:
    """Regression: on a booted host, whose /usr is read-only, `rpm -q` said that it can't open it.

    Images have it with the two files beside it that SQLite needs there; those are the base's own, and stale.
    """
    tree = shutil.copytree(BaseTree(tmp_path / "remote").compose(), tmp_path / "tree", symlinks=True)
    subprocess.run(["rpm", "--root", str(tree), "--dbpath", f"/{DBPATH}", "--rebuilddb"], check=True)
    (tree / DBPATH / ".rpm.lock").unlink(missing_ok=True)
    assert len(list((tree / DBPATH).glob("rpmdb.sqlite-*"))) == 2
    layer = ground.composed(ground.base(tree=tree), [ground.package("foo", {})]).commit
    usr = tmp_path / "usr"
    ostree("checkout", "--user-mode", "--subpath=/usr", layer, str(usr), repo=ground.path)
    assert [path.name for path in (usr / "share/rpm").iterdir()] == ["rpmdb.sqlite"]
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec rpm --dbpath "$1/share/rpm" -q foo'
    asked = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(usr)], capture_output=True, text=True, check=False
    )
    assert asked.stdout == "foo-1.0-1.noarch\n", asked.stderr


def test_the_time_of_installation_is_the_one_that_is_given(ground: Ground, base: str, tmp_path: Path) -> None:
    checkout_rpmdb(ground.repo, base, tmp_path)
    install(tmp_path, prefixes(ground.package("foo", {})), BASE_TIME)
    rpm.addMacro("_dbpath", f"/{DBPATH}")
    try:
        (header,) = rpm.TransactionSet(str(tmp_path)).dbMatch("name", "foo")
    finally:
        rpm.delMacro("_dbpath")
    assert header[rpm.RPMTAG_INSTALLTIME] == header[rpm.RPMTAG_INSTALLTID] == BASE_TIME


def test_scripts_do_not_run(ground: Ground, base: str, tmp_path: Path) -> None:
    from layering.rpmfile import read_rpm
    from tests.acceptance.rpms import build_rpm

    marker = tmp_path / "ran"
    names = ["%pre", "%post", "%posttrans", "%pretrans -p <lua>", "%transfiletriggerin -- /"]
    scripts = {name: f"io.open('{marker}', 'w')" if "lua" in name else f"touch {marker}" for name in names}
    path = build_rpm(tmp_path, "scripted", files={"/usr/bin/x": "x"}, scripts=scripts)
    checkout_rpmdb(ground.repo, base, tmp_path / "root")
    install(tmp_path / "root", [read_rpm(path).prefix], BASE_TIME)
    assert "scripted-1.0-1.noarch" in installed(tmp_path / "root")
    assert not marker.exists()
    assert not list((tmp_path / "root").glob("**/ran"))
