"""Who signed an RPM: librpm's own verification, against the keys of one repository.

Debian's `rpmkeys` looks into another database than the base's, so the keys are put into a keyring of librpm's directly.
Sources: rpm's docs/manual/signatures_digests.md; OpenPGP packets and ASCII armor, RFC 9580 sections 4.2 and 6.2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import rpm

from layering.errors import SignatureError
from layering.librpm import DBPATH, UNCHECKED, captured_log, macros
from layering.rpmfile import DIGESTS

_CHUNK = 1 << 20
_ARMOR = re.compile(
    rb"^-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(?:[^\r\n]+\r?\n)*?[ \t]*\r?\n"
    rb"(?P<body>.*?)(?:^=[^\r\n]*\r?\n)?^-----END PGP PUBLIC KEY BLOCK-----",
    re.MULTILINE | re.DOTALL,
)
_KEY_ID = re.compile(r"[Kk]ey ID ([0-9a-fA-F]+)")
_PUBLIC_KEY_PACKET = 6
_MACROS = {"_dbpath": f"/{DBPATH}"}


class Keyring:
    """The keys that packages of one repository may be signed by, subkeys included."""

    def __init__(self, certificates: Iterable[bytes], scratch: Path) -> None:
        """Import OpenPGP certificates, binary. scratch: an existing directory to work in, left as it was.

        librpm reads subkeys only from keys that are in a database, so there is one for a moment.

        Raises:
            SignatureError: one of them is no key that librpm can use.
        """
        with (
            tempfile.TemporaryDirectory(dir=scratch, prefix="keys-") as root,
            macros(_MACROS),
            captured_log() as log,
        ):
            importing = rpm.TransactionSet(root)
            refused = sum(importing.pgpImportPubkey(each) != 0 for each in dict.fromkeys(certificates))
            importing.closeDB()
            reading = rpm.TransactionSet(root)
            reading.openDB()
            self._keyring = reading.getKeyring(True)
            reading.closeDB()
        if refused:
            raise SignatureError(f"{refused} OpenPGP keys can't be used by rpm: {log.text or 'not a public key'}")

    def verify(self, path: Path, package: str, repository: str) -> str:
        """Check the signature of the RPM's header, and that the payload is the one that the header names.

        Where the header of an old RPM names no digest of the payload, it still has those of the files.

        Args:
            path: the RPM. package, repository: what to call them in an error.

        Returns:
            The id of the key, 16 hex digits.

        Raises:
            SignatureError: not signed, signed by another key, or changed since.
        """
        ts = rpm.TransactionSet()
        ts.setKeyring(self._keyring)
        ts.setVSFlags(0)
        problem = ""
        with path.open("rb") as file:
            header = None
            with captured_log() as log:
                try:
                    header = ts.hdrFromFdno(file.fileno())
                except rpm.error as error:
                    problem = str(error)
            if header is None:
                raise SignatureError(_refusal(path, package, repository, problem, log.text))
            key = _header_signer(header)
            if key is None:
                raise SignatureError(f"Package {package} is not signed, and repository {repository} has gpgcheck=1")
            _check_payload(file, header, package, repository)
        return key


def certificates(material: bytes) -> Iterator[bytes]:
    """The OpenPGP certificates of a key file, ASCII-armored or binary, each by itself as librpm takes them.

    Raises:
        SignatureError: there is none.
    """
    if b"-----BEGIN PGP" in material:
        try:
            blocks = [base64.b64decode(each["body"]) for each in _ARMOR.finditer(material)]
        except binascii.Error as error:
            raise SignatureError(f"Damaged ASCII armor: {error}") from error
    else:
        blocks = [material]
    found = [certificate for block in blocks for certificate in _split(block)]
    if not found:
        raise SignatureError("There is no OpenPGP public key in it")
    yield from found


def base_certificates(root: Path) -> list[bytes]:
    """The keys that the base itself trusts: the gpg-pubkey packages of the rpmdb below this root."""
    with macros(_MACROS), captured_log():
        ts = rpm.TransactionSet(str(root))
        ts.setVSFlags(UNCHECKED)
        headers = ts.dbMatch("name", "gpg-pubkey")
        found = [base64.b64decode(key) for header in headers for key in header[rpm.RPMTAG_PUBKEYS]]
        ts.closeDB()
    return found


def _split(block: bytes) -> Iterator[bytes]:
    """Cut a run of packets at each primary key."""
    starts = []
    position = 0
    while position < len(block):
        tag, end = _packet(block, position)
        if tag == _PUBLIC_KEY_PACKET:
            starts.append(position)
        position = end
    for start, end in pairwise([*starts, len(block)]):
        yield block[start:end]


def _packet(block: bytes, start: int) -> tuple[int, int]:
    """Tag and end of the packet at this position."""
    head = block[start]
    if not head & 0x80:
        raise SignatureError("It is not an OpenPGP key")
    body = block[start + 1 :]
    try:
        if head & 0x40:
            tag = head & 0x3F
            if body[0] < 192:  # noqa: PLR2004 - the borders of RFC 9580, section 4.2.1
                size, length = 1, body[0]
            elif body[0] < 224:  # noqa: PLR2004
                size, length = 2, ((body[0] - 192) << 8) + body[1] + 192
            elif body[0] == 255:  # noqa: PLR2004
                size, length = 5, int.from_bytes(body[1:5], "big")
            else:
                raise SignatureError("An OpenPGP key can't come in parts of unknown length")
        else:
            tag = (head >> 2) & 0x0F
            if head & 3 == 3:  # noqa: PLR2004
                raise SignatureError("An OpenPGP key can't be of unknown length")
            size = 1 << (head & 3)
            length = int.from_bytes(body[:size], "big")
    except IndexError as error:
        raise SignatureError("The OpenPGP key is cut short") from error
    end = start + 1 + size + length
    if end > len(block):
        raise SignatureError("The OpenPGP key is cut short")
    return tag, end


def _header_signer(header: rpm.hdr) -> str | None:
    """Id of the key that signed the header; librpm has verified it by now."""
    for tag in ("RSAHEADER", "DSAHEADER"):
        if match := _KEY_ID.search(header.sprintf(f"%{{{tag}:pgpsig}}")):
            return match[1].lower()
    return None


def _check_payload(file: BinaryIO, header: rpm.hdr, package: str, repository: str) -> None:
    """Compare the rest of the file with the digest of the compressed payload that the signed header names."""
    expected = header[rpm.RPMTAG_PAYLOADDIGEST]
    if not expected:
        return
    algorithm = DIGESTS.get(header[rpm.RPMTAG_PAYLOADDIGESTALGO], "sha256")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    # librpm read through the descriptor, past file's buffer: the payload begins where it stopped.
    while chunk := os.read(file.fileno(), _CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != expected[0]:
        raise SignatureError(
            f"Package {package} from repository {repository}: the payload is not the one that was signed "
            f"(expected {algorithm} {expected[0]}, found {digest.hexdigest()})"
        )


def _refusal(path: Path, package: str, repository: str, problem: str, log: str) -> str:
    """Why librpm refused the RPM, in words that name the key."""
    key = _KEY_ID.search(log)
    if "public key" in problem:
        ts = rpm.TransactionSet()
        ts.setVSFlags(UNCHECKED)
        with captured_log(), path.open("rb") as file:
            signer = _header_signer(ts.hdrFromFdno(file.fileno())) or (key[1] if key else "unknown")
        return f"Package {package} is signed by key {signer}, which repository {repository} does not name in gpgkey"
    detail = log.replace(f"{path}: ", "") or problem
    return f"Package {package} from repository {repository} has a bad signature: {detail}"
