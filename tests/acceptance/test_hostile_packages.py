"""Packages made to harm: refused by name and reason, and the host is what it was. See hostile.py for what is tried."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails
from tests.acceptance.conftest import InstallHost
from tests.acceptance.forge import LINK, STRING, assemble, plain
from tests.acceptance.host import Host
from tests.acceptance.hostile import BASE_LINKS, LYING, forged
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import build_rpm

EVIL = "evil-1.0-1.noarch"
MEMORY = 110 << 20
"""Bytes: what layering a small package takes is some 70 MB."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A host with links in its base that lead astray, and what it and all around it was at first."""

    host: Host
    before: dict[str, str]

    def assert_unharmed(self) -> None:
        assert around(self.host) == self.before


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    directory = tmp_path_factory.mktemp("victim")
    tree = BaseTree(directory / "remote").with_files(BASE_LINKS)
    tree.commit(BRANCH, "1")
    host = Host.install(directory / "sysroot", tree.repo)
    (directory / "canary").write_text("alive\n")
    host.ok("sync")
    yield Victim(host, around(host))
    host.fsck()
    host.remove()


def around(host: Host) -> dict[str, str]:
    """The sysroot and what lies beside it: a checksum or the mode of each path. Left out are repositories' objects,
    the journal, and layer's own cache of metadata."""
    found = host.snapshot_tree()
    var = f"sysroot/ostree/deploy/{host.stateroot}/var"
    left_out = {"remote", "sysroot/ostree/repo", f"{var}/lib/layer", f"{var}/cache"}
    for directory, names, files in os.walk(host.sysroot.parent):
        where = os.path.relpath(directory, host.sysroot.parent)
        names[:] = [name for name in names if os.path.normpath(f"{where}/{name}") not in left_out]
        for name in (*names, *files):
            path = Path(directory, name)
            is_file = path.is_file() and not path.is_symlink()
            told = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else oct(path.lstat().st_mode)
            found[os.path.normpath(f"{where}/{name}")] = told
    return found


@pytest.mark.parametrize("wrong", LYING)
def test_it_is_refused_by_name_and_reason_and_changes_nothing(victim: Victim, tmp_path: Path, wrong: str) -> None:
    package = forged(tmp_path, wrong)
    result, memory = victim.host.measure("pkg-add", "--scripts=skip", package)
    assert (result.exit, result.stdout) == (1, ""), str(result)
    assert result.stderr.startswith("error: ")
    assert LYING[wrong][1] in result.stderr, str(result)
    assert EVIL in result.stderr or str(package) in result.stderr
    assert "internal error" not in result.stderr
    assert result.stderr.replace("\n", "").isprintable()
    victim.assert_unharmed()
    assert memory < MEMORY


def test_every_attempt_is_in_the_journal(victim: Victim, tmp_path: Path) -> None:
    before = len(victim.host.history())
    package = forged(tmp_path, "a fifo")
    victim.host.run("pkg-add", package, check=1)
    attempt = victim.host.history()[before]
    assert (attempt["outcome"], attempt["error"]["kind"]) == ("failed", "import-refused")
    assert (
        attempt["error"]["message"]
        == f"{EVIL}: /usr/share/evil/node is a device, a fifo or a socket: it can't be layered"
    )


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"/usr/share/a": "a"}, "in a circle"),
        ({"/usr/share/a": "../../../.."}, "out of the image"),
        ({"/usr/share/a": "/var/lib"}, "/var/lib, which is not part of the image"),
        ({"/usr/share/a": "/usr/local/share"}, "/var/usrlocal/share, which is not part of the image"),
        ({"/usr/share/a": "../bin/base-tool"}, "/usr/bin/base-tool"),
    ],
)
def test_files_of_one_package_below_the_links_of_another_are_refused(
    victim: Victim, tmp_path: Path, links: dict[str, str], reason: str
) -> None:
    linking = plain(tmp_path / "real", "linking")
    for path, target in links.items():
        linking.add(path, mode=LINK, link=target)
    led = build_rpm(tmp_path, "led", files={"/usr/share/a/below": "x\n"})
    result, memory = victim.host.measure("pkg-add", linking.write(tmp_path / "linking.rpm"), led)
    assert (result.exit, result.stdout) == (1, ""), str(result)
    assert "led-1.0-1.noarch" in result.stderr
    assert reason in result.stderr, str(result)
    victim.assert_unharmed()
    assert memory < MEMORY


@pytest.mark.parametrize(("offset", "value"), [(-16, 62), (-12, 4), (-8, 0x7FFFFFF0), (-8, 0), (-4, 0xFF0000)], ids=str)
def test_a_region_trailer_that_lies_is_refused(victim: Victim, tmp_path: Path, offset: int, value: int) -> None:
    forgery = plain(tmp_path)
    header = bytearray(forgery.header.pack())
    struct.pack_into(">I", header, len(header) + offset, value)
    package = assemble(tmp_path / "evil.rpm", forgery.lead, forgery.signature, bytes(header), forgery.archive())
    result = victim.host.run("pkg-add", package, check=1)
    assert f"{package} is not a readable RPM" in result.stderr
    victim.assert_unharmed()


def test_what_repositories_call_packages_is_not_believed(install_host: InstallHost, repository: Repository) -> None:
    forgery = plain(repository.directory / "real").set("NAME", b"../../evil", STRING)
    forgery.set("PROVIDENAME", [b"helpful"])
    forgery.write(repository.directory / "evil.rpm")
    repository.build("honest", requires=["helpful"])
    repository.publish()
    result = fails(install_host(repository.repo_file()), "pkg-add", "honest")
    assert r"packages that are called as none can be: '../../evil-1.0-1.noarch'" in result.stderr


def test_names_that_steer_a_terminal_are_laid_as_they_are_and_shown_escaped(
    install_host: InstallHost, tmp_path: Path
) -> None:
    host, name = install_host(), "\x1b[2J\nAdded: nothing\u202e"
    forgery = plain(tmp_path, "loud").add(f"/usr/share/loud/{name}", b"x\n").add(f"/var/lib/{name}", b"x\n")
    result = host.ok("pkg-add", forgery.write(tmp_path / "loud.rpm"))
    assert r"Note: loud-1.0-1.noarch: /var/lib/\x1b[2J\nAdded: nothing\u202e is left out" in result.stderr
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()
    assert host.read(f"/usr/share/loud/{name}") == "x\n"


def test_what_follows_the_end_of_a_payload_is_not_looked_at(install_host: InstallHost, tmp_path: Path) -> None:
    host, forgery = install_host(), plain(tmp_path, "odd")
    host.ok("pkg-add", replace(forgery, after=os.urandom(9999)).write(tmp_path / "odd.rpm"))
    assert host.read("/usr/share/odd/file") == "content\n"
