"""Asking a witness to cosign a checkpoint (C2SP tlog-witness). Its answer is checked by the key that it must have."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from journal.checkpoints import Checkpoint, parse_checkpoint
from journal.errors import AnotherHistory, HistoryTruncated, NoteMalformed, WitnessFailed
from journal.heads import consistency
from journal.notes import COSIGNATURE, Note, Signature, VerifierKey, add_signatures, parse_signature
from journal.proofs import ConsistencyProof
from journal.reader import Reader

TIMEOUT = 20.0
"""Seconds that a witness has to answer."""

_LONGEST_ANSWER = 64 * 1024
_TOLD: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "does not trust the key that signed the checkpoint",
    HTTPStatus.NOT_FOUND: "does not know the log",
}

Prove = Callable[[int], ConsistencyProof]
"""Gives the proof that the checkpoint goes on from the log's first so many events."""


def cosigned(journal: Reader, url: str, checkpoint: Checkpoint, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint with the cosignatures of a witness added.

    Raises:
        what `cosign` raises.
    """
    kept = [parse_checkpoint(text).size for key in keys if (text := journal.last_checkpoint_signed_by(key.name))]
    known = max((size for size in kept if size <= checkpoint.size), default=0)
    signatures = cosign(url, checkpoint, known, lambda size: consistency(journal, size, checkpoint), keys)
    return parse_checkpoint(str(add_signatures(checkpoint.note, signatures)))


def cosign(
    url: str, checkpoint: Checkpoint, known: int, prove: Prove, keys: Sequence[VerifierKey]
) -> tuple[Signature, ...]:
    """The witness's cosignatures of the checkpoint, of the keys given, verified.

    url: the witness's submission prefix. known: size of the checkpoint that it is thought to have cosigned last, 0 if
    none is known; where it remembers another one, it is asked again from there.

    Raises:
        WitnessFailed: it can't be reached, refuses, or answers without a right cosignature of one of these keys.
        HistoryTruncated: it has cosigned a longer log of this name. AnotherHistory: one with other events.
    """
    status, answer = _post(url, prove(known))
    if status == HTTPStatus.CONFLICT:
        size = _size(url, answer)
        if size > checkpoint.size:
            raise HistoryTruncated(
                f"The witness {url} has seen {size} events of this log; the journal has {checkpoint.size}:"
                " events were cut off"
            )
        if size == known:
            raise AnotherHistory(f"The witness {url} has cosigned another history of {size} events of this log")
        status, answer = _post(url, prove(size))
    if status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT):
        raise AnotherHistory(f"The witness {url} has cosigned a history of this log that this one does not go on from")
    if status != HTTPStatus.OK:
        raise WitnessFailed(f"The witness {url} {_TOLD.get(status, f'answered with status {status}')}")
    return _checked(url, checkpoint.note.text, answer, keys)


def _post(url: str, proof: ConsistencyProof) -> tuple[int, str]:
    if urlsplit(url).scheme not in ("http", "https"):
        raise WitnessFailed(f"{url} is no address of a witness: it begins with neither http nor https")
    request = Request(f"{url.rstrip('/')}/add-checkpoint", str(proof).encode(), method="POST")  # noqa: S310
    request.add_header("Content-Type", "text/plain; charset=utf-8")
    try:
        with build_opener().open(request, timeout=TIMEOUT) as response:
            return response.status, _text(response.read(_LONGEST_ANSWER))
    except HTTPError as error:
        with error:
            return error.code, _text(error.read(_LONGEST_ANSWER))
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WitnessFailed(f"The witness {url} can't be reached: {reason}") from error


def _text(answer: bytes) -> str:
    return answer.decode(errors="replace")


def _size(url: str, answer: str) -> int:
    digits = answer.removesuffix("\n")
    if not digits.isdecimal() or len(digits) > len(str(2**63)):
        raise WitnessFailed(f"The witness {url} does not say which size of the log it knows")
    return int(digits)


def _checked(url: str, text: str, answer: str, keys: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    try:
        signatures = [parse_signature(line) for line in answer.removesuffix("\n").split("\n")]
    except NoteMalformed as error:
        raise WitnessFailed(f"The witness {url} answered with no cosignature: {error.message}") from error
    ours = [key for key in keys if key.algorithm == COSIGNATURE]
    known = {(key.name, key.id) for key in ours}
    note = Note(text, tuple(each for each in signatures if (each.name, each.key_id) in known))
    signed = [note.signed_by(key) for key in ours]
    if not any(signed):
        raise WitnessFailed(f"The witness {url} did not cosign with the key that it was to have")
    return note.signatures
