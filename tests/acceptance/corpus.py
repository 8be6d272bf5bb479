"""The corpus: RPMs, repositories and databases that others made, beside the project; and what rpm says of its RPMs.

It is no part of the project: tests that walk it carry `needs_corpus`. What is in it and its traps: its INDEX.md.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import rpm

CORPUS = Path(__file__).parents[3] / "shared/corpus"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus of RPMs is not there: {CORPUS}")

# The files that are refused, and why. Reviewed by hand: each is something that rpm-ostree refuses, too, or that can't
# be read. A file that is refused must be met by an entry, and each entry by a file.
REFUSED = {
    "*.src.rpm": "is a source package: only binary packages can be layered",
    "*.src~*.rpm": "is a source package: only binary packages can be layered",
    "*/kernel-[0-9]*.x86_64.rpm": "is a kernel (it provides kernel)",
    "*/kernel-core-*.x86_64.rpm": "is a kernel (it provides kernel)",
    "*/kernel-debug-core-*.x86_64.rpm": "is a kernel (it provides kernel)",
    "*/broken-package-*.noarch.rpm": "is damaged: its payload's sha256 is",
    "*signed_broken.rpm": "is damaged: its payload's sha256 is",
    "*signed_broken_header.rpm": "is not a readable RPM: Header SHA256 digest: BAD",
    "*/hello-2.0-1.x86_64-corrupted.rpm": "is damaged: its payload's sha256 is",
    "*/test_read_format_huge_rpm.rpm": "is malformed: its header has 2,147,483,648 tags",
    "*/hello-1.0-1.i386.rpm": "/usr/local/bin/hello can't be layered: /usr/local belongs to the administrator",
    "*/libhello-1.0.1-1.x86_64.rpm": "can't be layered: /usr/local belongs to the administrator",
    "*+diffoscope/*/test[12].rpm": "/dir/text can't be layered: it is not part of an OSTree image",
    "*/capstest-1.0-1.noarch.rpm": "/a/emptyCaps1 can't be layered: it is not part of an OSTree image",
    "*/hlinktest-1.0-1.noarch.rpm": "/foo can't be layered: it is not part of an OSTree image",
    "*/hlinktest-1.0-1.noarch-v3sig.rpm": "/foo/aaaa can't be layered: it is not part of an OSTree image",
    "*/unexpanded-macro-files-*.rpm": "/%{unexpanded}/test can't be layered: it is not part of an OSTree image",
    "*/simple-1.0.1-1.i386.rpm": "/config can't be layered: it is not part of an OSTree image",
}

_GHOST = 1 << 6  # RPMFILE_GHOST
# What `rpm -qp --dump` prints of a file, its capabilities and its hardlinks; with --dump itself,
# nothing would tell where one package ends.
_TAGS = (
    "FILENAMES",
    "LONGFILESIZES",
    "FILEMODES:octal",
    "FILEUSERNAME",
    "FILEGROUPNAME",
    "FILEDIGESTS",
    "FILELINKTOS",
    "FILEFLAGS",
    "FILECAPS",
    "FILENLINKS",
    "FILEINODES",
)
_NEVRA = "%{NAME}-%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}.%{ARCH}"
_QUERY = f"\x1e{_NEVRA}\x1f%{{ARCH}}[\x1f" + "\t".join(f"%{{{tag}}}" for tag in _TAGS) + "]"


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One path of a package. mode: with the type; digest: hex, empty where it has none, maybe its beginning alone.

    capabilities: as the extended attribute. linked: equal in those that are hardlinks of one file, None elsewhere.
    """

    path: str
    size: int
    mode: int
    user: str
    group: str
    digest: str
    target: str
    ghost: bool
    capabilities: bytes
    linked: str | None

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True, slots=True)
class Packaged:
    """What rpm says of an RPM. nevra: the epoch left out where it is 0."""

    path: Path
    nevra: str
    arch: str
    files: tuple[PackagedFile, ...]

    @property
    def fits(self) -> bool:
        """Whether rpm would install it on this machine."""
        return bool(rpm.archscore(self.arch))


def rpms_in(folder: Path = CORPUS) -> list[Path]:
    """The RPMs of a folder and of all below it."""
    return sorted(folder.rglob("*.rpm"))


def entry_of(path: Path) -> str | None:
    """The entry of the list of refusals that an RPM meets."""
    name = str(path.relative_to(CORPUS))
    return next((pattern for pattern in REFUSED if fnmatch.fnmatchcase(name, pattern)), None)


def folders() -> list[str]:
    """The folders that hold RPMs, relative to the corpus; a name for the test that is skipped where it is not there."""
    return sorted({str(path.parent.relative_to(CORPUS)) for path in rpms_in()}) or ["none"]


def asked_of_rpm(paths: Sequence[Path]) -> list[Packaged]:
    """What one run of rpm says of the RPMs, all of which it must be able to read."""
    if not paths:
        return []
    command = ["rpm", "--query", "--package", "--nosignature", "--nodigest", "--queryformat", _QUERY, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=True)
    # rpm prints a header's bytes as they are.
    _, *packages = done.stdout.decode(errors="surrogateescape").split("\x1e")
    assert len(packages) == len(paths), done.stderr.decode()
    return [_packaged(path, text) for path, text in zip(paths, packages, strict=True)]


def _packaged(path: Path, text: str) -> Packaged:
    nevra, arch, *files = text.split("\x1f")
    return Packaged(path, nevra.replace("-0:", "-"), arch, tuple(_file(file) for file in files))


def _file(text: str) -> PackagedFile:
    name, size, mode, user, group, digest, target, flags, capabilities, links, inode = (
        "" if field == "(none)" else field for field in text.split("\t")
    )
    return PackagedFile(
        name,
        int(size),
        int(mode, 8),
        user,
        group,
        digest,
        target,
        bool(int(flags) & _GHOST),
        attribute(capabilities),
        inode if int(links) > 1 else None,
    )


@cache
def attribute(capabilities: str) -> bytes:
    """The extended attribute that setcap(8) writes for the text; empty for none."""
    if not capabilities:
        return b""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:  # a file system that knows the attribute
        subprocess.run(["setcap", capabilities, file.name], check=True)
        return os.getxattr(file.name, "security.capability")


@cache
def laid_by_rpm() -> dict[Path, list[PackagedFile]]:
    """What rpm 4.18 laid of some of the RPMs, by their path: an independent witness, written down with the corpus.

    Directories that were there before the package, or that it only leads through, are left out.
    """
    found = {}
    for tree in sorted((CORPUS / "expected").glob("*.tree")):
        name, *lines = tree.read_text().splitlines()
        own = [line for line in lines if line[:1].isdigit() and not line.endswith("  [implied]")]
        found[CORPUS / name.removeprefix("# ")] = [_laid(line) for line in own]
    return found


_LAID = re.compile(
    r"(?P<mode>\d{6}) (?P<user>\S+):(?P<group>\S+) (?P<size>\d+|-) (?P<path>/.*?)"
    r"(?: -> (?P<target>.*)| (?P<digest>[0-9a-f]{16})(?: hl=(?P<linked>\d+)x\d+)?(?: cap=(?P<capabilities>\w+))?| )"
)


def _laid(line: str) -> PackagedFile:
    found = _LAID.fullmatch(line)
    assert found, line
    size = "0" if found["size"] == "-" else found["size"]
    return PackagedFile(
        found["path"],
        int(size),
        int(found["mode"], 8),
        found["user"],
        found["group"],
        found["digest"] or "",
        found["target"] or "",
        False,
        bytes.fromhex(found["capabilities"] or ""),
        found["linked"],
    )
