"""Checking a journal against what was signed: its heads, and the checkpoints that were made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from journal.checkpoints import check_extended, check_signed, parse_checkpoint
from journal.errors import AnotherHistory, AnotherLog, HistoryTruncated, LayerError
from journal.findings import Finding, worded
from journal.notes import VerifierKey
from journal.reader import Reader


def check_heads(journal: Reader) -> Iterator[Finding]:
    """That one head at most is stored: which of two is meant nobody could tell."""
    if (heads := journal.heads) > 1:
        yield Finding("schema", f"The table head has {heads} rows: layer writes one")


def check_checkpoints(
    journal: Reader, events: int, notes: Iterable[tuple[str, str]], key: VerifierKey | None
) -> Iterator[Finding]:
    """Checkpoints that were made of the journal against its tree.

    notes: where each is kept, and its text. key: what they are signed with; None checks no signature.
    """
    checkpoints = []
    cut, another = 0, False
    for place, text in notes:
        try:
            checkpoint = parse_checkpoint(text)
            if key:
                check_signed(checkpoint, key)
        except AnotherLog as error:
            if not another:  # one says it all
                yield Finding(error.id, f"{place}: {error.message}", 1)
            another = True
        except LayerError as error:
            yield Finding(error.id, f"{place}: {error.message}")
        else:
            checkpoints.append(checkpoint)
    good, wrong = 0, False
    for checkpoint in sorted(checkpoints, key=lambda each: each.size):
        try:
            check_extended(checkpoint, events, journal.node)
            good = checkpoint.size
        except HistoryTruncated:
            cut = checkpoint.size
        except AnotherHistory:
            if not wrong:  # all later ones are wrong as well
                yield _rewritten(journal, good, checkpoint.size)
            wrong = True
    if cut:
        was = "was signed and is" if cut == events + 1 else "were signed and are"
        yield Finding("truncated", f"{worded(events + 1, cut)} {was} missing", events + 1)


def check_head(
    origin: str | None, events: int, head: str | None, signed: int, key: VerifierKey | None
) -> Iterator[Finding]:
    """That the head is signed, by the key of this log, where there is a key.

    origin: name of the log. head: the signed head, over `signed` events.
    """
    if key is None:
        if head is not None:
            yield Finding("no-key", "The heads are signed, and the key to check them with is not beside the journal")
    elif origin is not None and key.name != origin:
        yield Finding("another-log", f"The key is of the log {key.name}; this journal is {origin}", 1)
    elif signed < events:
        yield Finding("unsigned", f"{worded(signed + 1, events)} came without the head being signed", signed + 1)


def _rewritten(journal: Reader, good: int, wrong: int) -> Finding:
    """What is known of a history that was altered and hashed anew: between which two signed heads it was."""
    first, last = journal.transactions_by(good + 1), journal.transactions_by(wrong)
    which = f"transaction {first}" if first == last else f"transactions {first} to {last}"
    message = f"{worded(good + 1, wrong)} (of {which}) are not those that were signed"
    return Finding("rewritten", message, good + 1, first)
