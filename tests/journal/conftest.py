"""A journal in a directory of its own, and drafts to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal.store import Journal
from tests.drafts import DraftMaker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "var/lib").mkdir(parents=True)
    return tmp_path / "var/lib/layer/journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal.open_for_append(path)
    yield opened
    opened.close()


@pytest.fixture
def draft() -> Callable[..., object]:
    return DraftMaker()
