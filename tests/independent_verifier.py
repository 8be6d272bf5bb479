"""A stranger's verifier of layer's proofs, written from the specifications alone; it imports nothing of layer.

    python independent_verifier.py inclusion VKEY PROOF RECORD
    python independent_verifier.py consistency VKEY PROOF OLD-CHECKPOINT

Sources: RFC 6962 section 2.1, RFC 9162 sections 2.1.3.2 and 2.1.4.2, C2SP signed-note, tlog-checkpoint, tlog-proof and
tlog-witness. Exits with 0 if the proof holds, with 1 and a reason if not.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    pass


def need(condition: object, reason: str) -> None:
    if not condition:
        raise Refused(reason)


def unbase64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("bad base64") from error
    need(base64.b64encode(raw).decode() == text, "base64 that is not canonical")
    return raw


def number(text: str) -> int:
    need(text.isascii() and text.isdigit() and (text == "0" or text[0] != "0"), f"{text!r} is no number")
    return int(text)


def open_note(note: str, vkey: str) -> str:
    """The text of the note, once its signature by this key is verified."""
    name, key_id, key = vkey.split("+", 2)
    algorithm_and_key = unbase64(key)
    computed = hashlib.sha256(name.encode() + b"\n" + algorithm_and_key).digest()[:4]
    need(computed.hex() == key_id and algorithm_and_key[0] == 1, "bad verifier key")
    end = note.rindex("\n\n") + 1
    text, lines = note[:end], note[end + 1 :]
    need(lines.endswith("\n"), "the last signature line does not end")
    need(all(character >= " " or character == "\n" for character in note), "control characters")
    verified = False
    for line in lines[:-1].split("\n"):
        need(line.startswith("\u2014 ") and line.count(" ") == 2, "not a signature line")
        _, signer, encoded = line.split(" ")
        raw = unbase64(encoded)
        need(len(raw) > 4, "signature too short")
        if (signer, raw[:4]) == (name, computed):
            try:
                Ed25519PublicKey.from_public_bytes(algorithm_and_key[1:]).verify(raw[4:], text.encode())
            except InvalidSignature as error:
                raise Refused("wrong signature") from error
            verified = True
    need(verified, "no signature by this key")
    return text


def open_checkpoint(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root hash of a checkpoint that the key signed for the log of its own name."""
    origin, size, root, *_ = open_note(note, vkey).split("\n")
    need(origin == vkey.split("+", maxsplit=1)[0], "a checkpoint of another log")
    return number(size), unbase64(root)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def hashes(lines: list[str]) -> list[bytes]:
    values = [unbase64(line) for line in lines]
    need(all(len(value) == 32 for value in values), "not a hash")
    return values


def verify_inclusion(proof: str, record: bytes, vkey: str) -> None:
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
    need(lines, "no index")
    word, _, digits = lines.pop(0).partition(" ")
    need(word == "index", "no index")
    size, root = open_checkpoint(note, vkey)
    fn, sn = number(digits), size - 1
    need(fn <= sn, "index beyond the tree")
    r = hashlib.sha256(b"\0" + record).digest()
    for p in hashes(lines):
        need(sn != 0, "proof too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "proof too short")
    need(r == root, "another root")


def verify_consistency(proof: str, old: str, vkey: str) -> None:
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    word, _, digits = lines.pop(0).partition(" ")
    need(word == "old", "not a proof of consistency")
    first, (second, second_hash) = number(digits), open_checkpoint(note, vkey)
    old_size, first_hash = open_checkpoint(old, vkey)
    need(old_size == first, "a proof for another size")
    path = hashes(lines)
    verify_path(first, first_hash, second, second_hash, path)


def verify_path(first: int, first_hash: bytes, second: int, second_hash: bytes, path: list[bytes]) -> None:
    need(0 < first <= second, "sizes")
    if first == second:
        need(not path and first_hash == second_hash, "two roots of one size")
        return
    if first & (first - 1) == 0:
        path = [first_hash, *path]
    need(path, "empty proof")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        need(sn != 0, "proof too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "proof too short")
    need((fr, sr) == (first_hash, second_hash), "another root")


def accepts(kind: str, vkey: str, proof: bytes, other: bytes) -> bool:
    """Whether the proof holds. other: the record, or the old checkpoint."""
    try:
        if kind == "inclusion":
            verify_inclusion(proof.decode(), other, vkey)
        else:
            verify_consistency(proof.decode(), other.decode(), vkey)
    except (Refused, ValueError) as error:
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    _, kind, vkey, proof, other = sys.argv
    sys.exit(not accepts(kind, vkey, Path(proof).read_bytes(), Path(other).read_bytes()))
