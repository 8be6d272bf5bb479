"""What several tests of layering start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BaseTree
from tests.acceptance.repositories import Repository
from tests.layering.universes import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A base, and a repository that no .repo file names yet."""
    world = World(tmp_path, BaseTree(tmp_path / "remote"), Repository(tmp_path / "packages"))
    yield world
    for resolver in world.opened:
        resolver.close()
