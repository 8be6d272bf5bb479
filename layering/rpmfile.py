"""One RPM file, read through librpm: what it is called and what it is made of.

Source: rpm's docs/manual/format.md (lead, signature header, header, payload).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import rpm

from journal.printable import printable
from layering.errors import ImportRefused
from layering.librpm import UNCHECKED, captured_log
from layering.nevra import is_nevra
from layering.rpmindex import TRIGGERS, check_index

_CHUNK = 1 << 20

# PGPHASHALGO_* of rpmpgp.h, as digests in a header are numbered.
DIGESTS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}

COMPRESSORS = frozenset({"gzip", "bzip2", "lzma", "xz", "zstd"})
"""That librpm knows, by the names that headers give them."""


@dataclass(frozen=True, slots=True)
class RpmFile:
    """An RPM on disk.

    nevra: NAME-[EPOCH:]VERSION-RELEASE.ARCH. sha256: of the whole file, hex. header: the main header.
    prefix: the file up to its payload (lead, signature header, header): librpm reads it as it reads the file.
    """

    path: Path
    nevra: str
    sha256: str
    header: rpm.hdr = field(repr=False, compare=False)
    prefix: bytes = field(repr=False)


def read_rpm(path: Path) -> RpmFile:
    """Read an RPM's header and checksums, in constant memory beside the header; the payload is not unpacked.

    The digests of header and payload are checked; who signed them is for the repository's rules to say.

    Raises:
        ImportRefused: not readable, not an RPM, damaged, malformed, or a source package.
    """
    try:
        with path.open("rb") as file:
            check_index(file.fileno(), printable(str(path)))
            header = _read_header(file.fileno(), str(path))
            # librpm reads unbuffered: the offset now is where the payload starts.
            length = os.lseek(file.fileno(), 0, os.SEEK_CUR)
            prefix = os.pread(file.fileno(), length, 0)
            sha256 = _checksum(file, header, prefix, path)
    except OSError as error:
        raise ImportRefused(f"{path}: {error.strerror or error}") from error
    if header.isSource():
        raise ImportRefused(f"{path} is a source package: only binary packages can be layered")
    nevra = nevra_of(header)
    if not is_nevra(nevra) or {"-", ":"} & {*header["version"], *header["release"]}:
        raise ImportRefused(f"{path} holds a package that calls itself {nevra!r}, as none can be called")
    _refuse_malformed(header, nevra)
    return RpmFile(path, nevra, sha256, header, prefix)


def header_of(prefix: bytes) -> rpm.hdr:
    """The header out of an RPM's prefix, its digests taken on trust: they were checked when the RPM was read.

    Raises:
        ImportRefused: the bytes are not an RPM's.
    """
    with prefix_file(prefix) as file:
        return _read_header(file.fileno(), "a cached header", trusted=True)


@contextmanager
def prefix_file(prefix: bytes) -> Iterator[BinaryIO]:
    """The prefix as an anonymous file, for librpm and libsolv to read as an RPM without its payload."""
    with os.fdopen(os.memfd_create("rpm-header"), "w+b", buffering=0) as file:
        file.write(prefix)
        file.seek(0)
        yield file


def nevra_of(header: rpm.hdr) -> str:
    """NAME-[EPOCH:]VERSION-RELEASE.ARCH, the epoch left out where it is 0."""
    return f"{header['name']}-{evr_of(header)}.{header['arch']}"


def evr_of(header: rpm.hdr) -> str:
    """[EPOCH:]VERSION-RELEASE, the epoch left out where it is 0."""
    epoch = header["epoch"]
    return f"{f'{epoch}:' if epoch else ''}{header['version']}-{header['release']}"


def _read_header(fd: int, name: str, *, trusted: bool = False) -> rpm.hdr:
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(UNCHECKED if trusted else rpm.RPMVSF_MASK_NOSIGNATURES)
    header = None
    with captured_log() as log:
        try:
            header = transaction.hdrFromFdno(fd)
        except rpm.error as error:
            reason = str(error)
        else:
            reason = "no header"
    if header is None:
        # The log names the file descriptor's path, when it knows one.
        raise ImportRefused(f"{name} is not a readable RPM: {log.text.replace(f'{name}: ', '') or reason}")
    return header


def _refuse_malformed(header: rpm.hdr, nevra: str) -> None:
    """Values that lead elsewhere than the header's other values are; how many there are was seen before."""
    try:
        rpm.files(header)
    except ValueError as error:
        raise ImportRefused(f"{nevra}: its list of files is malformed") from error
    reason = ""
    with captured_log() as log:
        try:
            rpm.TransactionSet().addInstall(header, None, "i")
        except rpm.error as error:
            reason = str(error)
    if reason:
        raise ImportRefused(f"{nevra}: librpm does not take it: {log.text or reason}")
    for kind in TRIGGERS:
        for name in header[getattr(rpm, f"RPMTAG_{kind}NAME")] or ():
            if not is_utf8(name):
                raise ImportRefused(f"{nevra}: {kind}NAME is not UTF-8: {name!r}")
    for kind in TRIGGERS:
        scripts = len(header[getattr(rpm, f"RPMTAG_{kind}SCRIPTS")] or ())
        if any(index >= scripts for index in header[getattr(rpm, f"RPMTAG_{kind}INDEX")] or ()):
            raise ImportRefused(f"{nevra}: {kind}INDEX names a script that is not there")
    form, compressor = header[rpm.RPMTAG_PAYLOADFORMAT] or "cpio", header[rpm.RPMTAG_PAYLOADCOMPRESSOR]
    if form != "cpio":
        raise ImportRefused(f"{nevra}: its payload is {form!r}, not cpio")
    if compressor and compressor not in COMPRESSORS:
        raise ImportRefused(f"{nevra}: its payload is compressed with {compressor!r}, which is not known here")


def is_utf8(text: str) -> bool:
    """Whether what librpm's binding gave was UTF-8: other bytes come as surrogates, and nothing takes those back."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checksum(file: BinaryIO, header: rpm.hdr, prefix: bytes, path: Path) -> str:
    """The SHA-256 of the whole file; on the way the payload's own digest is checked, where the header has one."""
    whole = hashlib.sha256(prefix)
    expected = (header[rpm.RPMTAG_PAYLOADDIGEST] or [""])[0]
    algorithm = DIGESTS.get(header[rpm.RPMTAG_PAYLOADDIGESTALGO] or 0)
    payload = hashlib.new(algorithm) if algorithm and expected else None
    file.seek(len(prefix))
    while chunk := file.read(_CHUNK):
        whole.update(chunk)
        if payload:
            payload.update(chunk)
    if payload and payload.hexdigest() != expected:
        raise ImportRefused(f"{path} is damaged: its payload's {algorithm} is {payload.hexdigest()}, not {expected}")
    return whole.hexdigest()
