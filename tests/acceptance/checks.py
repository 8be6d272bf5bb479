"""What several acceptance tests assert in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.acceptance.host import Host, Result


def settled(host: Host) -> Host:
    """The host after its journal began, so that what follows is the doing of the next command alone."""
    if not host.journal.exists():
        host.ok("sync")
    return host


@contextmanager
def unchanged(host: Host) -> Iterator[None]:
    """Nothing on the host is another after the block, the journal left out."""
    before = settled(host).snapshot_tree()
    yield
    assert host.snapshot_tree() == before


@contextmanager
def same_deployments(host: Host) -> Iterator[None]:
    """No deployment is made, dropped or moved in the block."""
    before = host.deployments()
    yield
    assert host.deployments() == before


def fails(host: Host, *args: str | Path, outcome: str = "failed", status: int = 1) -> Result:
    """Run a command that must not succeed: it says why, changes nothing, and is in the history with its reason."""
    with unchanged(host):
        before = len(host.history())
        result = host.run(*args, check=status)
    attempts = host.history()[before:]
    assert [entry["outcome"] for entry in attempts] == [outcome], result
    error = attempts[0]["error"]
    assert error["kind"]
    assert error["message"]
    assert error["message"] in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result


def refused(host: Host, *args: str | Path, status: int = 1) -> Result:
    """Run a command that a rule must refuse before any work."""
    return fails(host, *args, outcome="refused", status=status)


def origin_lines(host: Host, index: int = 0) -> list[str]:
    """The origin file, its empty lines left out."""
    return [line for line in host.origin(index).splitlines() if line]


def instant(text: str) -> datetime:
    """The moment that a nanosecond timestamp names; datetime itself goes to microseconds."""
    assert text.endswith("Z")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6] or '0'}+00:00")


def between(earlier: dict[str, Any], later: dict[str, Any]) -> str:
    """A moment after one transaction finished and before the other started, as a person may write it."""
    end, start = instant(earlier["finished_at"]), instant(later["started_at"])
    return (end + (start - end) / 2).isoformat()
