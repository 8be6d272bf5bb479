"""Packages that are large: layered by the real command, in memory that does not grow with their files."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.forge import plain
from tests.acceptance.host import Host
from tests.acceptance.rpms import File, build_rpm

GIB = 1 << 30
MEMORY = 150_000_000  # bytes, of the whole process: the promise of issue 3
COMPRESSIONS = {
    "none": "w.ufdio",
    "gzip": "w6.gzdio",
    "bzip2": "w6.bzdio",
    "xz": "w2.xzdio",
    "lzma": "w2.lzdio",
    "zstd": "w3.zstdio",
}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Host]:
    """A host of its own, without repositories. What is in it is looked at here, not once more when the test is over."""
    tree = BaseTree(tmp_path / "remote")
    tree.commit(BRANCH, "1")
    host = Host.install(tmp_path / "sysroot", tree.repo)
    yield host
    host.remove()


def test_a_file_of_more_than_a_gibibyte_is_streamed(bare: Host, tmp_path: Path) -> None:
    start = b"not only zeros\n"
    package = build_rpm(tmp_path, "big", files={"/usr/share/big": File(start, zeros=GIB)}, payload="w1.zstdio")
    result, memory = bare.measure("pkg-add", package)
    assert result.exit == 0, str(result)
    assert memory <= MEMORY
    laid = bare.path("/usr/share/big")
    expected = hashlib.sha256(start)
    for _ in range(GIB >> 20):
        expected.update(bytes(1 << 20))
    with laid.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == expected.hexdigest()


def test_twenty_thousand_files_are_layered(bare: Host, tmp_path: Path) -> None:
    package = plain(tmp_path / "real", "many").fill("/usr/share/many/lots/f%06d", 20_000).write(tmp_path / "many.rpm")
    assert "NOT OK" not in subprocess.run(["rpm", "-K", package], check=True, capture_output=True, text=True).stdout
    result, memory = bare.measure("pkg-add", package)
    assert result.exit == 0, str(result)
    assert memory <= MEMORY
    laid = {path.name: path.read_text() for path in bare.path("/usr/share/many/lots").iterdir()}
    assert laid == {f"f{number:06d}": f"{number}\n" for number in range(20_000)}


def test_every_compression_of_payloads_is_layered(bare: Host, tmp_path: Path) -> None:
    packages = [
        build_rpm(tmp_path, f"by-{name}", files={f"/usr/share/by-{name}": f"{name}\n" * 9999}, payload=payload)
        for name, payload in COMPRESSIONS.items()
    ]
    bare.ok("pkg-add", *packages)
    assert [bare.read(f"/usr/share/by-{name}") for name in COMPRESSIONS] == [
        f"{name}\n" * 9999 for name in COMPRESSIONS
    ]
