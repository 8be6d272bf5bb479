"""Signed notes: a text, and lines that sign it (C2SP signed-note, tlog-cosignature).

The algorithms are a table, so that another one is one more entry. `cryptography` is loaded where a signature is made or
checked, and nowhere else.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256

import msgspec

from journal.errors import NoteMalformed, NoteNotSigned

ED25519 = 0x01
COSIGNATURE = 0x04
"""Types of signatures: of a note by its author, and of a checkpoint, with a time, by a witness."""

_DASH = "\u2014"
_NAME = re.compile(r"[^\s+]+")
_KEY_ID = 4
_TIMESTAMP = 8
_SEED = 32
_MAX_SIGNATURES = 64
_PRIVATE = "PRIVATE+KEY+"


class Signature(msgspec.Struct, frozen=True):
    """A line under a note: the name of the key, its id (4 bytes), and the signature itself."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line as it stands in the note, with its newline."""
        return f"{_DASH} {self.name} {b64encode(self.key_id + self.signature).decode()}\n"


class Note(msgspec.Struct, frozen=True):
    """A text (ending in a newline) and the signatures under it, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)

    def signed_by(self, key: VerifierKey) -> bool:
        """Whether the key signed this text. Signatures of other keys are left alone.

        Raises:
            NoteNotSigned: a line claims this key, and the signature is not right.
        """
        claimed = [each for each in self.signatures if (each.name, each.key_id) == (key.name, key.id)]
        for each in claimed:
            if not _ALGORITHMS[key.algorithm](key.public, self.text.encode(), each.signature):
                raise NoteNotSigned(f"The signature of {key.name} does not fit what is signed")
        return bool(claimed)


class VerifierKey(msgspec.Struct, frozen=True):
    """What a signature is checked with. algorithm: a type of signature. public: the key's raw bytes."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """First four bytes of SHA-256(name || 0x0A || algorithm || public key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:_KEY_ID]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.algorithm]) + self.public).decode()}"


class SignerKey:
    """An Ed25519 key that signs notes in its name. seed: the 32 secret bytes of RFC 8032."""

    def __init__(self, name: str, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self.name = name
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.verifier = VerifierKey(name, ED25519, public)

    def sign(self, text: str) -> Note:
        """The text with this key's signature. text: ends in a newline."""
        return Note(text, (Signature(self.name, self.verifier.id, self._private.sign(text.encode())),))

    def written(self) -> str:
        """The key as Go's sumdb/note writes it. Secret."""
        return f"{_PRIVATE}{self.name}+{self.verifier.id.hex()}+{b64encode(bytes([ED25519]) + self._seed).decode()}"


def parse_note(text: str) -> Note:
    """The note that this text is.

    Raises:
        NoteMalformed: it is none.
    """
    body, blank, lines = text.rpartition("\n\n")
    signatures = lines.split("\n")
    if not blank or not lines or signatures.pop() != "" or len(signatures) > _MAX_SIGNATURES:
        raise NoteMalformed("Not a signed note: a text, an empty line and signatures were expected")
    if any(ord(character) < ord(" ") and character != "\n" for character in text):
        raise NoteMalformed("Not a signed note: it has control characters")
    return Note(body + "\n", tuple(parse_signature(line) for line in signatures))


def parse_signature(line: str) -> Signature:
    """The signature that a line, without its newline, is.

    Raises:
        NoteMalformed: it is none.
    """
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    value = decode_base64(encoded)
    if dash != _DASH or not _NAME.fullmatch(name) or len(value) <= _KEY_ID:
        raise NoteMalformed(f"Not a signature of a note: {line[:80]!r}")
    return Signature(name, value[:_KEY_ID], value[_KEY_ID:])


def parse_verifier_key(text: str) -> VerifierKey:
    """The verifier key that is written NAME+ID+BASE64.

    Raises:
        NoteMalformed: it is none, or of an algorithm that is not known here.
    """
    name, key_id, encoded = _key_parts(text)
    key = VerifierKey(name, encoded[0], encoded[1:])
    if key.id.hex() != key_id:
        raise NoteMalformed(f"The verifier key of {name} is damaged: its id is not {key_id}")
    if key.algorithm not in _ALGORITHMS:
        raise NoteMalformed(f"The verifier key of {name} is of type {key.algorithm:#04x}, which is not known here")
    return key


def parse_signer_key(text: str) -> SignerKey:
    """The signer's key that `SignerKey` writes.

    Raises:
        NoteMalformed: it is none.
    """
    if not text.startswith(_PRIVATE):
        raise NoteMalformed("Not a signer's key")
    name, key_id, encoded = _key_parts(text.removeprefix(_PRIVATE))
    if encoded[0] != ED25519 or len(encoded) != 1 + _SEED:
        raise NoteMalformed(f"The signer's key of {name} is not an Ed25519 key")
    key = SignerKey(name, encoded[1:])
    if key.verifier.id.hex() != key_id:
        raise NoteMalformed(f"The signer's key of {name} is damaged: its id is not {key_id}")
    return key


def decode_base64(text: str) -> bytes:
    """The bytes of standard base64 (RFC 4648 section 4), written in the one way there is; empty for anything else."""
    try:
        value = b64decode(text, validate=True)
    except ValueError:
        return b""
    return value if b64encode(value).decode() == text else b""


def _key_parts(text: str) -> tuple[str, str, bytes]:
    parts = text.strip().split("+", 2)
    encoded = decode_base64(parts[-1])
    if len(parts) != len(("name", "id", "key")) or not _NAME.fullmatch(parts[0]) or not encoded:
        raise NoteMalformed("Not a key of a note: NAME+ID+BASE64 was expected")
    return parts[0], parts[1], encoded


def cosigned_text(timestamp: int, text: str) -> bytes:
    """What a witness signs. timestamp: seconds since the epoch."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _cosignature(public: bytes, text: bytes, signature: bytes) -> bool:
    timestamp = int.from_bytes(signature[:_TIMESTAMP])
    return _ed25519(public, cosigned_text(timestamp, text.decode()), signature[_TIMESTAMP:])


_ALGORITHMS: dict[int, Callable[[bytes, bytes, bytes], bool]] = {ED25519: _ed25519, COSIGNATURE: _cosignature}


def add_signatures(note: Note, signatures: Iterable[Signature]) -> Note:
    """The note with these signatures too, each once."""
    return Note(note.text, tuple(dict.fromkeys((*note.signatures, *signatures))))
