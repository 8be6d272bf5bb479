"""A machine for each test, its disk a copy of one that was made for all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.rpms import build_rpm
from tests.boot.image import make_disk
from tests.boot.machine import Machine


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a host on version 1 of its image, that `layer` has never touched."""
    directory = tmp_path_factory.mktemp("disk")
    packages = directory / "packages"
    build_rpm(packages, "tool", files={"/usr/bin/tool": "#!/bin/sh\necho tool\n"})
    note = "echo made by a script > /usr/share/scripted/note\n"
    build_rpm(packages, "scripted", files={"/usr/share/scripted/data": "data\n"}, scripts={"%post": note})
    build_rpm(packages, "slow", files={"/usr/share/slow": "slow\n"}, scripts={"%post": "exec sleep 3600\n"})
    image = directory / "disk"
    make_disk(image, packages.iterdir())
    return image


@pytest.fixture
def machine(disk: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine that has just been booted for the first time."""
    copy = tmp_path / "disk"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(copy)], check=True)
    machine = Machine(copy)
    try:
        machine.boot()
        yield machine
    finally:
        machine.cut_power()
        copy.unlink()
