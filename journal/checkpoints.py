"""Checkpoints: the head of the Merkle tree as a signed note (C2SP tlog-checkpoint), and what may be wrong with one."""

from __future__ import annotations

import re
from base64 import b64encode

import msgspec

from journal import merkle
from journal.errors import AnotherHistory, AnotherLog, HistoryTruncated, NoteMalformed, NoteNotSigned
from journal.notes import Note, VerifierKey, decode_base64, parse_note

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES = 3


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log. origin: its name. size: number of events. root: RFC 6962 root over them, 32 bytes."""

    origin: str
    size: int
    root: bytes
    note: Note

    def __str__(self) -> str:
        return str(self.note)


def text_of(origin: str, size: int, root: bytes) -> str:
    """The text of a checkpoint, to be signed."""
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


def origin_of(first_leaf: bytes) -> str:
    """The name of the log that begins with this leaf: the same wherever the journal is, and of no other journal."""
    return f"layer/{first_leaf.hex()[:32]}"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that this text is. Its signatures are not checked.

    Raises:
        NoteMalformed: it is none.
    """
    note = parse_note(text)
    lines = note.text.split("\n")[:-1]
    if len(lines) < _LINES or not all(lines) or not _NUMBER.fullmatch(lines[1]):
        raise NoteMalformed("Not a checkpoint: origin, size and root hash were expected")
    root = decode_base64(lines[2])
    if len(root) != merkle.HASH_SIZE:
        raise NoteMalformed("Not a checkpoint: its root hash is not 32 bytes in base64")
    return Checkpoint(lines[0], int(lines[1]), root, note)


def check_signed(checkpoint: Checkpoint, key: VerifierKey) -> None:
    """Check that the log's own key, whose name is the origin, signed the checkpoint.

    Raises:
        AnotherLog: it is of a log of another name. NoteNotSigned: no signature of this key, or a wrong one.
    """
    if checkpoint.origin != key.name:
        raise AnotherLog(f"The checkpoint is of the log {checkpoint.origin}, not of {key.name}")
    if not checkpoint.note.signed_by(key):
        raise NoteNotSigned(f"The checkpoint is not signed by the key {key.name}+{key.id.hex()}")


def check_extended(old: Checkpoint, size: int, fetch: merkle.Fetch) -> None:
    """Check that the log of `size` events, whose nodes `fetch` gives, goes on from a checkpoint kept earlier.

    Raises:
        HistoryTruncated: it has fewer events than the checkpoint. AnotherHistory: other ones.
    """
    if old.size > size:
        raise HistoryTruncated(f"The checkpoint is of {old.size} events; the journal has {size}: events were cut off")
    root = merkle.root_hash(size, fetch)
    proof = merkle.consistency_proof(old.size, size, fetch) if old.size else []
    if old.size and not merkle.is_consistent(old.size, old.root, size, root, proof):
        raise AnotherHistory(f"The first {old.size} events are not those that the checkpoint was made of")
    if not old.size and old.root != merkle.EMPTY_ROOT:
        raise AnotherHistory("The checkpoint is of no events, and has a root hash all the same")
