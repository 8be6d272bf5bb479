"""The documents that `--json` prints: what they are called, their types, and what they are."""

from __future__ import annotations

from typing import Any

from cli.documents import (
    CheckedProof,
    Failed,
    ProvedExtension,
    ProvedRecord,
    Rehearsed,
    RepositoryMetadata,
    Shown,
    SignedHead,
    Status,
)
from journal.events import Event
from layering.diagnosis import Problem
from layering.resolver import Match
from layering.verification import Report
from projections.blame import Blamed
from projections.difference import Difference
from projections.transactions import Transaction

DOCUMENTS: dict[str, tuple[Any, str]] = {
    "status": (Status, "layer status --json: the deployments, now or as of a point of the history"),
    "history": (list[Transaction], "layer history --json: the transactions, newest first"),
    "show": (Shown, "layer show --json, and any changing verb's: a transaction and its events"),
    "dry-run": (Rehearsed, "a changing verb's --dry-run --json: what would come of it"),
    "sync": (list[Transaction], "layer sync --json: the transactions that were recorded"),
    "diff": (Difference, "layer diff --json: how two states of the host differ"),
    "blame": (list[Blamed], "layer blame --json: which transaction brought each layered package, and why it is there"),
    "search": (list[Match], "layer search --json: packages of the repositories"),
    "refresh-md": (list[RepositoryMetadata], "layer refresh-md --json: the repositories' metadata"),
    "doctor": (list[Problem], "layer doctor --json: how journal and host differ, and what to do about it"),
    "audit-log": (list[Event], "layer audit log --json: the events, the oldest first"),
    "audit-verify": (Report, "layer audit verify --json: what was checked, and what was found"),
    "audit-verify-proof": (CheckedProof, "layer audit verify --proof --json: what the proof proves"),
    "audit-checkpoint": (SignedHead, "layer audit checkpoint --json: the head, signed or held against an older one"),
    "audit-prove": (list[ProvedRecord], "layer audit prove --json: records and their proofs"),
    "audit-prove-from": (
        ProvedExtension,
        "layer audit prove --from --json: the journal goes on from an older head",
    ),
    "error": (Failed, "any --json, where the verb fails before it is a transaction"),
}
