"""The key that signs a journal's heads: a file beside the journal, made on first use, that root alone can read.

Its public half lies beside it, readable by all, and so does the checkpoint that was last asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from journal.errors import KeyUnusable, NoteMalformed
from journal.file import write
from journal.notes import SignerKey, VerifierKey, parse_signer_key, parse_verifier_key

_KEY, _VERIFIER, _CHECKPOINT = "signing.key", "signing.vkey", "checkpoint"


def load_signer(journal: Path) -> SignerKey | None:
    """The signing key of the journal at this path, None where there is none.

    Raises:
        KeyUnusable: it can't be read, or is damaged.
    """
    text = _read(journal.with_name(_KEY))
    if text is None:
        return None
    try:
        return parse_signer_key(text)
    except NoteMalformed as error:
        raise KeyUnusable(
            f"{journal.with_name(_KEY)} is damaged: {error.message}",
            hint="Restore it from a copy, or move it away: `layer audit checkpoint` then makes another one.",
        ) from error


def make_signer(journal: Path, origin: str) -> SignerKey:
    """The signing key of the journal at this path, made now where there is none.

    Raises:
        KeyUnusable: it is damaged, or is the key of another log. JournalNotWritable: it can't be made.
    """
    if load_signer(journal) is None:
        write(journal.with_name(_KEY), SignerKey(origin, os.urandom(32)).written() + "\n", mode=0o600, replace=False)
    signer = load_signer(journal)
    if signer is None or signer.name != origin:
        raise KeyUnusable(
            f"{journal.with_name(_KEY)} is the key of {signer and signer.name}; this journal is {origin}",
            hint="Was the journal replaced? Put the right one back, or move the key away with its journal.",
        )
    public = f"{signer.verifier}\n"
    if _read(journal.with_name(_VERIFIER)) != public:
        write(journal.with_name(_VERIFIER), public, mode=0o644, replace=True)
    return signer


def load_verifier(journal: Path) -> VerifierKey | None:
    """The public half of the signing key, None where there is none.

    Raises:
        KeyUnusable: it is damaged.
    """
    text = _read(journal.with_name(_VERIFIER))
    try:
        return None if text is None else parse_verifier_key(text)
    except NoteMalformed as error:
        raise KeyUnusable(f"{journal.with_name(_VERIFIER)} is damaged: {error.message}") from error


def keep_checkpoint(journal: Path, checkpoint: str) -> None:
    """Keep a checkpoint beside the journal, instead of the last one."""
    write(journal.with_name(_CHECKPOINT), checkpoint, mode=0o644, replace=True)


def kept_checkpoint(journal: Path) -> str | None:
    """The checkpoint that is kept beside the journal, None where there is none."""
    return _read(journal.with_name(_CHECKPOINT))


def _read(path: Path) -> str | None:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise KeyUnusable(f"{path} can't be read: it is not a file")
    try:
        return path.read_text(encoding="utf-8", errors="replace")  # what is no text is no key and no checkpoint either
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "Run the command as root." if isinstance(error, PermissionError) else None
        raise KeyUnusable(f"{path} can't be read: {error.strerror}", hint=hint) from error
