"""The index of an RPM's header, looked at before librpm makes anything of it: how much there is, and whether it fits.

librpm refuses what lies outside of its own limits, overlaps, or has another type than its tag. What it does not look at
before it is asked for is here: how large a header may be, and that the values which belong together are equally many.
Sources: rpm's docs/manual/format.md and docs/manual/tags.md. The limits: docs/adr/0042.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping

import rpm

from layering.errors import ImportRefused

FILES_AT_MOST = 250_000
BYTES_AT_MOST = 64 << 20
"""Of lead, signature header and header together."""

_LEAD = 96  # bytes
_MAGIC = b"\x8e\xad\xe8"
_TAGS_AT_MOST = 0xFFFF  # librpm's own
_REQUIRED = ("NAME", "VERSION", "RELEASE", "ARCH")
_SINGLE = (
    *_REQUIRED,
    *("EPOCH", "BUILDTIME", "FILEDIGESTALGO", "PAYLOADFORMAT", "PAYLOADCOMPRESSOR", "PAYLOADDIGESTALGO"),
    *("PREIN", "PREINFLAGS", "POSTIN", "POSTINFLAGS", "POSTTRANS", "POSTTRANSFLAGS"),
)
_OF_FILES = (
    *("BASENAMES", "DIRINDEXES", "FILESIZES", "LONGFILESIZES", "FILEMODES", "FILERDEVS", "FILEMTIMES", "FILEDIGESTS"),
    *("FILELINKTOS", "FILEFLAGS", "FILEUSERNAME", "FILEGROUPNAME", "FILEVERIFYFLAGS", "FILEDEVICES", "FILEINODES"),
    *("FILELANGS", "FILECOLORS", "FILECLASS", "FILECAPS", "FILESIGNATURES", "FILENLINKS"),
)
_OF_EVERY_FILE = ("FILEMODES", "FILEUSERNAME", "FILEGROUPNAME", "FILELINKTOS", "FILEDIGESTS")
TRIGGERS = ("TRIGGER", "FILETRIGGER", "TRANSFILETRIGGER")
"""Kinds of triggers, as the names of their tags begin."""

_DEPENDENCIES = (
    *("PROVIDE", "REQUIRE", "CONFLICT", "OBSOLETE", "RECOMMEND", "SUGGEST", "SUPPLEMENT", "ENHANCE", "ORDER"),
    *TRIGGERS,
)


def check_index(fd: int, name: str) -> None:
    """Look at the headers of the RPM that is open at its start; `name` is what an error calls it.

    Raises:
        ImportRefused: they are too large, or don't fit together.
    """
    signatures = _intro(fd, _LEAD, name)
    start = _LEAD + 16 + _size(signatures)
    start += -start % 8
    intro = _intro(fd, start, name)
    length = start + 16 + _size(intro)
    if length > BYTES_AT_MOST:
        raise ImportRefused(f"{name} has a header of {length:,} bytes: at most {BYTES_AT_MOST:,} can be layered")
    index = os.pread(fd, 16 * intro[0], start + 16)
    if len(index) < 16 * intro[0]:
        raise ImportRefused(f"{name} is not a readable RPM: it ends within its header")
    counts: dict[int, int] = {}
    for tag, _, _, count in struct.iter_unpack(">IIII", index):
        counts[tag] = max(count, counts.get(tag, 0))
    for reason in _misfits({name: counts[tag] for name, tag in _numbers().items() if tag in counts}):
        raise ImportRefused(f"{name} is malformed: {reason}")


def _intro(fd: int, offset: int, name: str) -> tuple[int, int]:
    """How many entries a header's index has, and how long its store is."""
    data = os.pread(fd, 16, offset)
    if len(data) < 16 or not data.startswith(_MAGIC):  # noqa: PLR2004 - the length of the intro
        raise ImportRefused(f"{name} is not a readable RPM: it has no header where one belongs")
    count, size = struct.unpack_from(">II", data, 8)
    if count > _TAGS_AT_MOST:
        raise ImportRefused(f"{name} is malformed: its header has {count:,} tags")
    return count, size


def _size(intro: tuple[int, int]) -> int:
    count, size = intro
    return 16 * count + size


def _misfits(counts: Mapping[str, int]) -> Iterator[str]:
    """What does not fit together, by the number of values that each tag has."""
    yield from (f"it has no {tag}" for tag in _REQUIRED if tag not in counts)
    yield from (f"{tag} has {counts[tag]:,} values" for tag in _SINGLE if counts.get(tag, 1) != 1)
    files = counts.get("BASENAMES", counts.get("OLDFILENAMES", 0))
    if files > FILES_AT_MOST:
        yield f"it has {files:,} files: at most {FILES_AT_MOST:,} can be layered"
    expected = {**dict.fromkeys(_OF_EVERY_FILE, 0), **counts} if files else counts
    yield from (
        f"{tag} has {expected[tag]:,} values for {files:,} files"
        for tag in _OF_FILES
        if expected.get(tag, files) != files
    )
    yield from _dependency_misfits(counts)


def _dependency_misfits(counts: Mapping[str, int]) -> Iterator[str]:
    for kind in _DEPENDENCIES:
        names = counts.get(f"{kind}NAME", 0)
        parts = [f"{kind}FLAGS", f"{kind}VERSION", *([f"{kind}INDEX"] if kind in TRIGGERS else [])]
        if kind not in TRIGGERS and not any(part in counts for part in parts):
            continue  # names alone, as old packages have them
        # With flags and no versions librpm's binding reads through a null pointer.
        yield from (
            f"{part} has {counts.get(part, 0):,} values for {names:,} names"
            for part in parts
            if counts.get(part, 0) != names
        )
    for kind in TRIGGERS:
        scripts = counts.get(f"{kind}SCRIPTS", 0)
        for part in ("SCRIPTPROG", "SCRIPTFLAGS", "PRIORITIES"):
            if counts.get(f"{kind}{part}", scripts) != scripts:
                yield f"{kind}{part} has {counts[f'{kind}{part}']:,} values for {scripts:,} scripts"


def _numbers() -> dict[str, int]:
    names = {"OLDFILENAMES", *_SINGLE, *_OF_FILES}
    for kind in _DEPENDENCIES:
        names |= {f"{kind}{part}" for part in ("NAME", "FLAGS", "VERSION")}
    for kind in TRIGGERS:
        names |= {f"{kind}{part}" for part in ("INDEX", "SCRIPTS", "SCRIPTPROG", "SCRIPTFLAGS", "PRIORITIES")}
    return {name: getattr(rpm, f"RPMTAG_{name}") for name in names if hasattr(rpm, f"RPMTAG_{name}")}
