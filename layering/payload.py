"""From an RPM's payload straight into objects of an OSTree repository; nothing is unpacked to disk as a file.

librpm walks the archive (any compression, stripped cpio), libostree writes the objects, one file at a time in constant
memory. Modes, links and capabilities are as in the header. Owners are names there, and only the tree that the package
is laid on knows their numbers: objects are written as root's, and what is not root's is remembered. Such files are
kept without their setuid and setgid bits until then: never is there a setuid file of the wrong owner.
SELinux labels are given here as well, each name of a hardlinked file its own.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gi
import msgspec
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from journal.printable import printable  # noqa: E402
from layering.capabilities import ATTRIBUTE, capability_attribute  # noqa: E402
from layering.commit_tree import CHUNK  # noqa: E402
from layering.errors import ImportRefused  # noqa: E402
from layering.labels import UNLABELLED, Labels, attributes_of, relabelled, with_label  # noqa: E402
from layering.librpm import captured_log  # noqa: E402
from layering.paths import PATH_AT_MOST, Entry, Kind, Placement, place, refuse_kernel  # noqa: E402
from layering.rpmfile import DIGESTS, RpmFile, is_utf8  # noqa: E402
from layering.tmpfiles import Line, paths_of  # noqa: E402
from layering.trees import Directory  # noqa: E402

_INLINE = 1 << 18  # bytes; larger files are streamed
_PERMISSIONS = 0o7777
_PERMISSIONS_OF_LINKS = 0o777
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID
_KINDS = {stat.S_IFREG: Kind.REGULAR, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """A path that is not root:root; mode: all its permission bits, the cached object has none above 0777."""

    path: str
    user: str
    group: str
    mode: int


class Attributes(msgspec.Struct, frozen=True):
    """What a package's tree can't say.

    implied: directories that its paths lead through and that it does not own. links: its symbolic links.
    tmpfiles: lines for systemd-tmpfiles. notes: what was left out. All sorted, paths relative to the image's root.
    """

    owners: tuple[Owner, ...] = ()
    implied: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    tmpfiles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def import_payload(
    repo: OSTree.Repo, package: RpmFile, labels: Labels = UNLABELLED
) -> tuple[OSTree.RepoFile, Attributes]:
    """Write the package's files as objects and return its tree, inside a transaction of the caller's.

    Raises:
        ImportRefused: a path, type, owner or name that can't be layered; or content that is not what the header says.
    """
    names, size = _survey(package)
    refuse_kernel(names, package.header[rpm.RPMTAG_PROVIDENAME] or (), package.nevra)
    _refuse_larger_than_disk(repo, package.nevra, size)
    reading = _Import(repo, package, labels)
    with captured_log() as log:
        try:
            for archive, file in _walk(package):
                reading.take(archive, file)
        except (rpm.error, OSError) as error:
            reason = str(error)
        else:
            reason = ""
    if reason:
        raise ImportRefused(f"{package.nevra}: its payload is damaged: {log.text or reason}")
    return reading.finish()


@dataclass(frozen=True, slots=True)
class _Name:
    """One name of a file's content. path: in the image. size (bytes) and digest: what the header says of it."""

    entry: Entry
    path: str
    size: int
    digest: str


class _Import:
    """One package on its way into the repository."""

    def __init__(self, repo: OSTree.Repo, package: RpmFile, labels: Labels) -> None:
        self.repo = repo
        self.labels = labels
        self.nevra = package.nevra
        header = package.header
        self.numbered = header[rpm.RPMTAG_FILEDIGESTALGO] or 1
        self.algorithm = DIGESTS.get(self.numbered)
        self.expected = {file.fx: None if _is_ghost(file) else file.name for file in rpm.files(header)}
        self.root = Directory()
        self.owners: dict[str, Owner] = {}
        self.lines: dict[str, Line] = {}
        self.own_tmpfiles: set[str] = set()
        self.notes: list[str] = []
        self.waiting: dict[int, list[_Name]] = {}

    def take(self, archive: Any, file: Any) -> None:
        """One entry of the archive: its content, if it carries any, comes with it."""
        # Each once: librpm reads no more of an entry than the header says, but as many entries as there are.
        if file.fx not in self.expected:
            raise ImportRefused(f"{self.nevra}: {printable(file.name)} is twice in its payload")
        if self.expected.pop(file.fx) is None:
            return  # a ghost
        entry = entry_of(file, self.nevra)
        placement = place(entry, self.nevra)
        if placement.line:
            self.lines.setdefault(placement.line.path, placement.line)
        if placement.note:
            self.notes.append(placement.note)
        match entry.kind:
            case Kind.DIRECTORY if placement.path is not None:
                self._directory(entry, placement.path)
            case Kind.SYMLINK if placement.path is not None:
                self._symlink(entry, placement)
            case Kind.REGULAR:
                self._regular(archive, file, entry, placement.path)
            case _:
                pass

    def finish(self) -> tuple[OSTree.RepoFile, Attributes]:
        """The package's tree, once every entry was taken."""
        if missing := [name for name in self.expected.values() if name is not None]:
            raise ImportRefused(f"{self.nevra}: its payload lacks {printable(missing[0])}")
        if lacking := [names[0] for names in self.waiting.values() if names]:
            raise ImportRefused(f"{self.nevra}: its payload lacks the content of {printable(lacking[0].entry.path)}")
        lines = [line for path, line in sorted(self.lines.items()) if path not in self.own_tmpfiles]
        attributes = Attributes(
            owners=tuple(sorted(self.owners.values(), key=lambda owner: owner.path)),
            implied=tuple(sorted(self.root.implied())),
            links=tuple(sorted(self.root.links())),
            tmpfiles=tuple(line.render() for line in lines),
            notes=tuple(self.notes),
        )
        return self.root.write(self.repo, self.labels), attributes

    def _directory(self, entry: Entry, path: str) -> None:
        mode = self._own(entry, path)
        self.root.descend(path, self.nevra).mode = mode

    def _symlink(self, entry: Entry, placement: Placement) -> None:
        assert placement.path is not None  # noqa: S101 - the caller has looked
        self._own(entry, placement.path)
        attributes = with_label(None, self.labels.label(placement.path, stat.S_IFLNK | _PERMISSIONS_OF_LINKS))
        checksum = self.repo.write_symlink(None, 0, 0, attributes, placement.target)
        self.root.put(placement.path, checksum, self.nevra, link=True)

    def _regular(self, archive: Any, file: Any, entry: Entry, path: str | None) -> None:
        """A file, or one name of a set of hardlinks: the payload is on the last of them."""
        inode = min(other.fx for other in file.links) if file.nlink > 1 else file.fx
        names = self.waiting.pop(inode, [])
        if path is not None:
            names.append(_Name(entry, path, file.size, file.digest))
        if not archive.hascontent():
            if file.nlink > 1:
                self.waiting[inode] = names
                return
            if file.size:
                raise ImportRefused(f"{self.nevra}: its payload lacks the content of {printable(entry.path)}")
        if not names:
            return  # left out: librpm skips its content
        self._content(archive, file, names)

    def _content(self, archive: Any, file: Any, names: list[_Name]) -> None:
        modes = {self._own(name.entry, name.path) for name in names}
        if len(modes) > 1:
            raise ImportRefused(f"{self.nevra}: {printable(file.name)} is hardlinked under different owners or modes")
        if any((name.size, name.digest) != (file.size, file.digest) for name in names):
            raise ImportRefused(f"{self.nevra}: {printable(file.name)} is hardlinked under different sizes or digests")
        mode = stat.S_IFREG | modes.pop()
        label = self.labels.label(names[0].path, mode)
        attributes = with_label(self._capabilities(file), label)
        if file.size <= _INLINE:
            data = b"".join(self._read(archive, file))
            checksum = self.repo.write_regfile_inline(None, 0, 0, mode, attributes, data)
            if any(name.path.startswith("usr/lib/tmpfiles.d/") for name in names):
                self.own_tmpfiles |= paths_of(data.decode(errors="replace"))
        else:
            writer = self.repo.write_regfile(None, 0, 0, mode, file.size, attributes)
            for chunk in self._read(archive, file):
                writer.write_all(chunk)
            checksum = writer.finish()
        for name in names:
            label = self.labels.label(name.path, mode)
            named = relabelled(self.repo, checksum, label) if len(names) > 1 else checksum
            self.root.put(name.path, named, self.nevra)

    def _read(self, archive: Any, file: Any) -> Iterator[bytes]:
        """The content, which is to be as long as the header says and to have its digest."""
        name, left = printable(file.name), file.size
        if self.algorithm is None:
            raise ImportRefused(f"{self.nevra}: the digests of its files are of an unknown algorithm ({self.numbered})")
        if not file.digest:
            raise ImportRefused(f"{self.nevra}: {name} has no digest")
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        while left and (chunk := archive.read(min(left, CHUNK))):
            left -= len(chunk)
            digest.update(chunk)
            yield chunk
        if left:
            raise ImportRefused(f"{self.nevra}: {name} is shorter than the header says ({file.size:,} bytes)")
        if digest.hexdigest() != file.digest:
            raise ImportRefused(f"{self.nevra}: the content of {name} does not have its {self.algorithm} digest")

    def _own(self, entry: Entry, path: str) -> int:
        """Remember who owns it, and return the mode that the cached object gets."""
        if entry.user == entry.group == "root":
            return entry.mode
        self.owners[path] = Owner(path, entry.user, entry.group, entry.mode)
        return entry.mode & ~_SPECIAL_BITS

    def _capabilities(self, file: Any) -> GLib.Variant | None:
        try:
            value = capability_attribute(file.caps)
        except ValueError as error:
            raise ImportRefused(f"{self.nevra}: capabilities of {printable(file.name)}: {error}") from error
        if value is None:
            return None
        return attributes_of([(ATTRIBUTE.encode() + b"\0", value)])


def _walk(package: RpmFile) -> Iterator[tuple[Any, Any]]:
    header = package.header
    file = rpm.fd.open(str(package.path))
    file.seek(len(package.prefix), 0)
    # gzip where the tag is missing, as in librpm: it reads what is not compressed as it is.
    payload = rpm.fd.open(file, flags=header[rpm.RPMTAG_PAYLOADCOMPRESSOR] or "gzip")
    archive = rpm.files(header).archive(payload)
    for entry in archive:
        yield archive, entry


def _survey(package: RpmFile) -> tuple[list[str], int]:
    """The paths of the package, each of which can be layered, and how many bytes its files take unpacked."""
    names, total = [], 0
    for file in rpm.files(package.header):
        entry = entry_of(file, package.nevra)
        place(entry, package.nevra)
        if file.size < 0:
            raise ImportRefused(
                f"{package.nevra}: {printable(file.name)} is said to have {file.size % (1 << 64):,} bytes"
            )
        if entry.kind is Kind.REGULAR and not _is_ghost(file) and (file.nlink == 1 or file.fx == file.links[-1].fx):
            total += file.size
        names.append(file.name)
    return names, total


def _refuse_larger_than_disk(repo: OSTree.Repo, nevra: str, size: int) -> None:
    """A few KB can be said to be exabytes, and unpack to them: say no before the disk is full."""
    disk = os.statvfs(repo.get_path().get_path())
    if size > (free := disk.f_bavail * disk.f_frsize):
        raise ImportRefused(f"{nevra}: its files take {size:,} bytes, and {free:,} are free for the package cache")


def _is_ghost(file: Any) -> bool:
    return bool(file.fflags & rpm.RPMFILE_GHOST)


def entry_of(file: Any, nevra: str) -> Entry:
    """The header's word on a path.

    Raises:
        ImportRefused: not a file, directory or link; a name that OSTree, which knows UTF-8 alone, can't hold; or one
            or a target that is none.
    """
    kind = _KINDS.get(stat.S_IFMT(file.mode & 0xFFFF))
    for text in (file.name, file.linkto or "", file.user, file.group):
        if not is_utf8(text):
            raw = text.encode(errors="surrogateescape")
            raise ImportRefused(f"{nevra}: {raw!r} is not UTF-8, as OSTree's file names have to be")
    name = printable(file.name)
    if kind is None:
        raise ImportRefused(f"{nevra}: {name} is a device, a fifo or a socket: it can't be layered")
    if "/" in file.basename or not (file.dirname.endswith("/") and (file.basename or file.dirname == "/")):
        raise ImportRefused(f"{nevra}: {name} is made of {file.dirname!r} and {file.basename!r}")
    if kind is Kind.SYMLINK and not 0 < len(file.linkto.encode()) <= PATH_AT_MOST:
        raise ImportRefused(
            f"{nevra}: the target of {name} has {len(file.linkto.encode()):,} bytes, not 1 to {PATH_AT_MOST}"
        )
    mode = file.mode & _PERMISSIONS
    return Entry(file.name, kind, mode, file.user, file.group, file.linkto or "")
