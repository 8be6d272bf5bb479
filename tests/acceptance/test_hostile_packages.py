"""Packages made to harm: refused by name and reason, and the host is what it was. See hostile.py for what is tried."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import Host
from tests.acceptance.hostile import BASE_LINKS, LYING, forged

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
    host = Host.install(directory / "sysroot", tree.repo.as_uri())
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
