"""The documents that `--json` prints: what they are called, their types, and what they are."""

from __future__ import annotations

from typing import Any

from projections.transactions import Transaction

DOCUMENTS: dict[str, tuple[Any, str]] = {
    "history": (list[Transaction], "layer history --json: the transactions, newest first"),
}
