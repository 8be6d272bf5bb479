"""The documents that `--json` prints: what they are called, their types, and what they are."""

from __future__ import annotations

from typing import Any

from projections.blame import Blamed
from projections.difference import Difference
from projections.transactions import Transaction

DOCUMENTS: dict[str, tuple[Any, str]] = {
    "history": (list[Transaction], "layer history --json: the transactions, newest first"),
    "diff": (Difference, "layer diff --json: how two states of the host differ"),
    "blame": (list[Blamed], "layer blame --json: which transaction brought each layered package, and why it is there"),
}
