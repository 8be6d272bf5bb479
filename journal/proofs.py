"""Proofs that a stranger checks without the journal: of inclusion (C2SP tlog-proof), and of consistency.

A proof of consistency is written as the request that a witness is sent (C2SP tlog-witness): the old size, the hashes,
and the new checkpoint.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence

import msgspec

from journal import merkle
from journal.checkpoints import Checkpoint, check_signed, parse_checkpoint
from journal.errors import NoteMalformed, ProofRefused
from journal.notes import VerifierKey, decode_base64

HEADER = "c2sp.org/tlog-proof@v1"
_MOST_HASHES = 63


class InclusionProof(msgspec.Struct, frozen=True):
    """That a record is one of those under a checkpoint. index: zero-based, its position less one."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: Checkpoint

    def __str__(self) -> str:
        return f"{HEADER}\nindex {self.index}\n{_lines(self.hashes)}\n{self.checkpoint}"

    def check(self, record: bytes, key: VerifierKey) -> None:
        """Check that the record, as it was stored, is at this index of the log that the key signs for.

        Raises:
            AnotherLog, NoteNotSigned: the checkpoint is not the log's. ProofRefused: the record is not under it.
        """
        check_signed(self.checkpoint, key)
        leaf, size, root = merkle.leaf_hash(record), self.checkpoint.size, self.checkpoint.root
        if not merkle.is_included(leaf, self.index, size, self.hashes, root):
            raise ProofRefused(f"The record is not event {self.index + 1} of the log {self.checkpoint.origin}")


class ConsistencyProof(msgspec.Struct, frozen=True):
    """That the log under a checkpoint begins with an older one. size: of the older one."""

    size: int
    hashes: tuple[bytes, ...]
    checkpoint: Checkpoint

    def __str__(self) -> str:
        return f"old {self.size}\n{_lines(self.hashes)}\n{self.checkpoint}"

    def check(self, old: Checkpoint, key: VerifierKey) -> None:
        """Check that the log goes on from the old checkpoint.

        Raises:
            AnotherLog, NoteNotSigned: one of the checkpoints is not the log's. ProofRefused: it does not go on from it.
        """
        check_signed(old, key)
        check_signed(self.checkpoint, key)
        if self.size != old.size:
            raise ProofRefused(f"The proof is for a checkpoint of {self.size} events; the one given has {old.size}")
        new = self.checkpoint
        if not merkle.is_consistent(old.size, old.root, new.size, new.root, self.hashes):
            raise ProofRefused(f"The log of {new.size} events does not begin with the {old.size} of the old checkpoint")


def parse_proof(text: str) -> InclusionProof | ConsistencyProof:
    """The proof that this text is. Nothing about it is checked yet.

    Raises:
        NoteMalformed: it is none.
    """
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if inclusion := lines[0] == HEADER:
        lines = lines[2:] if lines[1:2] and lines[1].startswith("extra ") else lines[1:]
    match = re.fullmatch(r"(index|old) (0|[1-9][0-9]{0,18})", lines[0]) if lines else None
    if not blank or not match or (match[1] == "index") != inclusion or len(lines) > 1 + _MOST_HASHES:
        raise NoteMalformed("Not a proof: neither a tlog-proof nor one of consistency")
    hashes = tuple(decode_base64(line) for line in lines[1:])
    if any(len(each) != merkle.HASH_SIZE for each in hashes):
        raise NoteMalformed("Not a proof: a line of it is not a hash in base64")
    if f"\n{HEADER}\n" in checkpoint:
        raise NoteMalformed(
            "Several proofs, one after the other: each is checked with its own record",
            hint="`layer audit prove --output DIR` writes each to a file.",
        )
    kind = InclusionProof if inclusion else ConsistencyProof
    return kind(int(match[2]), hashes, parse_checkpoint(checkpoint))


def _lines(hashes: Sequence[bytes]) -> str:
    return "".join(f"{b64encode(each).decode()}\n" for each in hashes)
