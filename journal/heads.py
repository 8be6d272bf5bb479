"""The head of a journal, signed on request, and the proofs that lead from events to it."""

from __future__ import annotations

from journal import keys, merkle
from journal.checkpoints import Checkpoint, check_extended, check_signed, parse_checkpoint, text_of
from journal.errors import KeyUnusable, NoSuchEvent
from journal.notes import VerifierKey
from journal.proofs import ConsistencyProof, InclusionProof
from journal.reader import Reader
from journal.store import Journal


def sign_head(journal: Journal) -> Checkpoint:
    """The signed head of the journal, which has to be open for appending; kept in it and beside it.

    The key is made where there is none. A head that was signed before is not signed again.

    Raises:
        NoSuchEvent: nothing was recorded yet. KeyUnusable: the key is damaged, or another log's.
    """
    origin = journal.origin
    if origin is None:
        raise NoSuchEvent("Nothing was recorded yet")
    signer = keys.make_signer(journal.path, origin)
    checkpoint = current_head(journal)
    if checkpoint is None or not checkpoint.note.signed_by(signer.verifier):
        text = text_of(origin, journal.position, journal.root_hash)
        checkpoint = parse_checkpoint(str(signer.sign(text)))
    keep(journal, checkpoint)
    return checkpoint


def keep(journal: Journal, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint in the journal, if it is not there yet, and beside it."""
    if str(checkpoint) not in (journal.head(), journal.last_checkpoint()):
        journal.keep_checkpoint(checkpoint)
    keys.keep_checkpoint(journal.path, str(checkpoint))


def current_head(journal: Reader) -> Checkpoint | None:
    """The signed head, None where none covers all events."""
    text = journal.head()
    checkpoint = parse_checkpoint(text) if text else None
    return checkpoint if checkpoint and checkpoint.size == journal.position else None


def verifier_of(journal: Reader) -> VerifierKey:
    """The key beside the journal that its checkpoints are checked with.

    Raises:
        KeyUnusable: there is none, or it is damaged.
    """
    key = keys.load_verifier(journal.path)
    if key is None:
        raise KeyUnusable(
            f"There is no key beside {journal.path}",
            hint="`layer audit checkpoint`, as root, makes one; or give the log's verifier key by --key.",
        )
    return key


def check_kept(journal: Reader, kept: Checkpoint, key: VerifierKey) -> None:
    """Check that the journal goes on from a checkpoint that was kept earlier.

    Raises:
        AnotherLog, NoteNotSigned, HistoryTruncated, AnotherHistory: it does not, or the checkpoint is not this log's.
    """
    check_signed(kept, key)
    check_extended(kept, journal.position, journal.node)


def prove(journal: Reader, position: int) -> InclusionProof:
    """That the event at a position is under a signed head: the newest that a witness cosigned, else the newest.

    Raises:
        NoSuchEvent: there is no such event, or no signed head that covers it.
    """
    if not 1 <= position <= journal.position:
        raise NoSuchEvent(f"No event {position}: the last one is {journal.position}")
    checkpoint = _covering(journal, position)
    hashes = merkle.inclusion_proof(position - 1, checkpoint.size, journal.node)
    return InclusionProof(position - 1, tuple(hashes), checkpoint)


def prove_from(journal: Reader, size: int) -> ConsistencyProof:
    """That the journal under its newest signed head begins with its first `size` events.

    Raises:
        NoSuchEvent: there are fewer, or no signed head covers them.
    """
    if not 1 <= size <= journal.position:
        raise NoSuchEvent(f"No head over {size} events: the journal has {journal.position}")
    checkpoint = _covering(journal, size)
    return consistency(journal, size, checkpoint)


def consistency(journal: Reader, size: int, checkpoint: Checkpoint) -> ConsistencyProof:
    """That the log under a checkpoint begins with its first `size` events; empty where size is 0."""
    hashes = merkle.consistency_proof(size, checkpoint.size, journal.node) if size else []
    return ConsistencyProof(size, tuple(hashes), checkpoint)


def _covering(journal: Reader, position: int) -> Checkpoint:
    text = journal.checkpoint_covering(position)
    if text is None:
        raise NoSuchEvent(
            f"No signed head covers event {position} yet", hint="`layer audit checkpoint`, as root, signs one."
        )
    return parse_checkpoint(text)
