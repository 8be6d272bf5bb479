"""What a layer lays is what rpm lays: the same package, by `rpm -U --noscripts`, into a root of its own."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance.bases import RPMDB, USERS
from tests.acceptance.host import Host
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files, build_rpm

FILES: Files = {
    "/usr/bin/plain": "#!/bin/sh\n",
    "/usr/bin/setuid": File("s\n", mode=0o4755),
    "/usr/bin/setuid-of-other": File("s\n", mode=0o6711, user="games", group="adm"),
    "/usr/bin/sticky": File("t\n", mode=0o1755),
    "/usr/bin/capable": File("c\n", caps="cap_net_raw,cap_net_admin=ep"),
    "/usr/bin/capable-of-other": File("c\n", user="bin", group="daemon", caps="cap_setuid=p"),
    "/usr/share/exact": File(directory=True, mode=0o2770, group="games"),
    "/usr/share/exact/unreadable": File("u\n", mode=0o000),
    "/usr/share/exact/link": File(symlink="../plain", user="adm", group="adm"),
    "/usr/share/dangling": File(symlink="/nowhere"),
    "/usr/share/exact/linked": File(hardlink_to="/usr/bin/setuid"),
    "/usr/share/exact/empty": "",
    "/usr/share/sticky": File(directory=True, mode=0o1777),
    "/usr/share/ghost": File(ghost=True),
    "/usr/share/ghost-dir": File(ghost=True, directory=True),
    "/etc/exact.conf": File("a=1\n", mode=0o640, group="adm", config=True),
    "/etc/exact.d": File(directory=True, mode=0o700),
    "/etc/exact.d/state": File("s\n", directives="%verify(not size filedigest)"),
    "/etc/optional.conf": File("o\n", directives="%config(missingok)"),
    "/usr/share/manual": File("m\n", directives="%doc"),
    "/usr/share/copying": File("l\n", directives="%license"),
    "/etc/exact.d/ghost.conf": File(ghost=True, config=True),
}
NAME = "exact-1.0-1.noarch"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return build_rpm(tmp_path / "built", "exact", files=FILES)


@pytest.fixture
def by_rpm(tmp_path: Path, package: Path) -> Path:
    """A root into which rpm installed the package; it knows the base's users."""
    root = tmp_path / "by-rpm"
    (root / "etc").mkdir(parents=True)
    for name, extra in (("passwd", ":{0}:/:/sbin/nologin"), ("group", "")):
        lines = [
            f"{user}:x:{number}:" + (f"{number}{extra.format(user)}" if extra else "") for user, number in USERS.items()
        ]
        (root / "etc" / name).write_text("".join(f"{line}\n" for line in lines))
    (root / RPMDB).mkdir(parents=True)
    rpm(root, "-U", "--noscripts", "--nodeps", str(package))
    return root


def rpm(root: Path, *arguments: str, check: bool = True) -> str:
    """Run rpm on a root whose database is where an image has it."""
    command = ["rpm", "--root", str(root), "--dbpath", f"/{RPMDB}", "--nosignature", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def layered(host: Host, repository: Repository, package: Path) -> Host:
    repository.add(package)
    repository.publish()
    host.ok("pkg-add", "exact")
    return host


def facts(root: Path, paths: Iterable[str]) -> dict[str, object]:
    """Of each path: type and mode, owner, content or target, extended attributes; None where there is nothing."""
    return {path: _facts(root / path.lstrip("/")) for path in paths}


def _facts(path: Path) -> object:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    content = str(path.readlink()) if stat.S_ISLNK(info.st_mode) else path.read_bytes() if path.is_file() else ""
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    return stat.filemode(info.st_mode), info.st_uid, info.st_gid, content, attributes


def test_modes_owners_capabilities_and_content_are_rpms(
    host: Host, repository: Repository, package: Path, by_rpm: Path
) -> None:
    deployment = layered(host, repository, package).deployment()
    expected = facts(by_rpm, FILES)
    assert facts(deployment, FILES) == expected
    assert expected["/usr/share/ghost"] is None
    assert expected["/usr/bin/capable"] != expected["/usr/bin/plain"]


def test_rpm_verifies_a_layered_package_as_it_does_its_own(
    host: Host, repository: Repository, package: Path, by_rpm: Path, tmp_path: Path
) -> None:
    root = rooted(layered(host, repository, package), tmp_path)
    assert rpm(root, "-V", "--nomtime", "exact") == rpm(by_rpm, "-V", "--nomtime", "exact") == ""


def test_rpm_tells_what_became_of_a_layered_file(
    host: Host, repository: Repository, package: Path, by_rpm: Path, tmp_path: Path
) -> None:
    said = []
    for root in (rooted(layered(host, repository, package), tmp_path), by_rpm):
        (root / "etc/exact.conf").write_text("a=2, and more\n")
        (root / "usr/bin/setuid-of-other").chmod(0o755)
        os.chown(root / "usr/bin/plain", 3, 12)
        os.removexattr(root / "usr/bin/capable", "security.capability")
        (root / "usr/share/exact/empty").unlink()
        (root / "usr/share/dangling").unlink()
        (root / "usr/share/dangling").symlink_to("/elsewhere")
        (root / "usr/share/manual").write_text("longer than it was\n")
        (root / "etc/optional.conf").unlink()
        (root / "etc/exact.d/state").write_text("another\n")
        (root / "usr/share/ghost").write_text("came later\n")
        said.append(rpm(root, "-V", "--nomtime", "exact", check=False))
    assert said[0] == said[1]
    assert {line.split()[-1]: line.split()[:-1] for line in said[0].splitlines()} == {
        "/etc/exact.conf": ["S.5......", "c"],
        "/usr/bin/capable": ["........P"],
        "/usr/bin/plain": [".....UG.."],
        "/usr/bin/setuid-of-other": [".M......."],
        "/usr/share/dangling": ["....L...."],
        "/usr/share/manual": ["S.5......", "d"],
        "/usr/share/exact/empty": ["missing"],
    }


def test_the_rpmdb_says_of_each_file_what_rpms_own_says(
    host: Host, repository: Repository, package: Path, by_rpm: Path, tmp_path: Path
) -> None:
    root = rooted(layered(host, repository, package), tmp_path)
    array = (
        r"[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILESTATES:fstate}"
    )
    query = ["-q", "--qf", array + r" %{FILEVERIFYFLAGS} %{FILECAPS} %{FILEDIGESTS} %{FILELINKTOS}\n]", "exact"]
    assert rpm(root, *query) == rpm(by_rpm, *query)
    for option in ("-qc", "-qd", "-qL", "-qs", "-ql"):
        assert rpm(root, option, "exact") == rpm(by_rpm, option, "exact")
    assert rpm(root, "-qf", "/usr/bin/plain") == rpm(by_rpm, "-qf", "/usr/bin/plain") == f"{NAME}\n"
    assert rpm(root, "-qc", "exact").split() == ["/etc/exact.conf", "/etc/exact.d/ghost.conf", "/etc/optional.conf"]


def rooted(host: Host, directory: Path) -> Path:
    """A copy of the deployment that rpm can enter: its users in /etc/passwd, which librpm reads and no other place."""
    root = directory / "layered"
    subprocess.run(["cp", "--archive", host.deployment(), root], check=True)
    for name in ("passwd", "group"):
        merged = (root / "etc" / name).read_text() + (root / "usr/lib" / name).read_text()
        (root / "etc" / name).write_text(merged)
    return root
