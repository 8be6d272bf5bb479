"""What the reading path loads, asserted in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("gi", "rpm", "dnf", "hawkey", "sqlite_utils", "structlog", "rich", "cryptography")


def loaded_by(sysroot: Path, *arguments: str) -> list[str]:
    script = (
        "import sys; sys.argv = ['layer', *sys.argv[1:]]\n"
        "from cli.main import run\n"
        "code = run()\n"
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "--sysroot", str(sysroot), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stderr.split("loaded:")[1].split()


@pytest.fixture
def sysroot(tmp_path: Path) -> Path:
    """A sysroot with a journal of one transaction, made without a host: reading needs none."""
    from journal.events import TransactionCommitted, TransactionStarted
    from journal.store import Journal
    from tests.drafts import DraftMaker

    (tmp_path / "ostree/repo").mkdir(parents=True)
    draft = DraftMaker()
    uuid = draft.uuid()
    journal = Journal.open_for_append(tmp_path / "ostree/deploy/os/var/lib/layer/journal.db")
    journal.append([draft(uuid, TransactionStarted("adopt")), draft(uuid, TransactionCommitted())])
    journal.close()
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("history",),
        ("history", "--json"),
        ("history", "--since", "yesterday", "--package", "strace*"),
        ("show", "1"),
        ("show", "last", "--json"),
        ("status", "--as-of", "1", "--json"),
        ("diff", "1", "now"),
        ("blame", "--as-of", "1", "--json"),
        ("audit", "--help"),
    ],
)
def test_reading_the_journal_loads_neither_engine_nor_writing_libraries(
    sysroot: Path, arguments: tuple[str, ...]
) -> None:
    assert loaded_by(sysroot, *arguments) == []


def test_the_check_itself_can_fail(sysroot: Path) -> None:
    (sysroot / "ostree/repo").rmdir()
    subprocess.run(["ostree", "admin", "init-fs", str(sysroot)], check=True)
    assert "gi" in loaded_by(sysroot, "status")
