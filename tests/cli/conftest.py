"""A sysroot that has a journal and nothing else: what reads the journal needs no host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drafts import DraftMaker, short_history

Layer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def draft() -> DraftMaker:
    return DraftMaker()


@pytest.fixture
def journal_path(tmp_path: Path, draft: DraftMaker) -> Path:
    """The journal of the sysroot's only stateroot: an adoption, an addition and a refusal."""
    (tmp_path / "ostree/repo").mkdir(parents=True)
    path = tmp_path / "ostree/deploy/os/var/lib/layer/journal.db"
    short_history(path, draft)
    return path


@pytest.fixture
def layer(tmp_path: Path, journal_path: Path) -> Layer:
    """Run `layer` on that sysroot, as a process of its own."""

    def run(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).parent / "layer", "--sysroot", tmp_path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check)

    return run
