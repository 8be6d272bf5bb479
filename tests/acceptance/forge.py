"""RPMs that lie: a real package taken apart into its header and payload, changed at will and put together again.

Its digests are made right for what it has become: a lie is noticed by who reads it, not by a digest around it. Source:
rpm's docs/manual/format.md (lead, signature header, header, payload) and docs/manual/tags.md; cpio(5), newc.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import rpm

from tests.acceptance.rpms import File, Files, build_rpm

_LEAD = 96  # bytes
_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_SIGNATURES, _IMMUTABLE = 62, 63  # tags of the two headers' regions
_SIZE, _MD5, _SHA1, _SHA256 = 1000, 1004, 269, 273  # tags of the signature header
_INTEGERS = {2: ("B", 1), 3: (">H", 2), 4: (">I", 4), 5: (">Q", 8)}
INT16, INT32, INT64, STRING, BINARY, STRINGS = 3, 4, 5, 6, 7, 8
LINK = 0o120777
"""The mode of a symbolic link."""

Value = bytes | list[bytes] | list[int]


@dataclass(frozen=True, slots=True)
class Raw:
    """A value as it lies in the header, and how many of it there are said to be."""

    count: int
    data: bytes


@dataclass(slots=True)
class Header:
    """Tags with their type (see format.md) and value. region: the tag of the region around them."""

    region: int
    tags: dict[int, tuple[int, Value | Raw]]

    @classmethod
    def parse(cls, data: bytes, region: int) -> tuple[Self, int]:
        """The header at the start of the bytes, and its length."""
        count, size = struct.unpack_from(">II", data, 8)
        start = 16 + 16 * count
        store = data[start : start + size]
        tags: dict[int, tuple[int, Value | Raw]] = {}
        for index in range(count):
            tag, kind, offset, many = struct.unpack_from(">IIII", data, 16 + 16 * index)
            if tag != region:
                tags[tag] = (kind, _unpack(kind, store, offset, many))
        return cls(region, tags), start + size

    def pack(self) -> bytes:
        index, store = bytearray(), bytearray()
        for tag, (kind, value) in sorted(self.tags.items()):
            _, width = _INTEGERS.get(kind, ("", 1))
            store += bytes(-len(store) % width)
            raw = value if isinstance(value, Raw) else _pack(kind, value)
            index += struct.pack(">IIII", tag, kind, len(store), raw.count)
            store += raw.data
        count = len(self.tags) + 1
        first = struct.pack(">IIII", self.region, BINARY, len(store), 16)
        store += struct.pack(">IIiI", self.region, BINARY, -16 * count, 16)
        return _MAGIC + struct.pack(">II", count, len(store)) + first + bytes(index + store)


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of the payload. size: what its cpio header says; None: as long as it is."""

    name: bytes
    content: bytes = b""
    mode: int = 0o100644
    inode: int = 0
    links: int = 1
    size: int | None = None

    def pack(self) -> bytes:
        size = len(self.content) if self.size is None else self.size
        numbers = (self.inode, self.mode, 0, 0, self.links, 0, size, 0, 0, 0, 0, len(self.name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + self.name + b"\0"
        return _padded(head) + _padded(self.content)


@dataclass(slots=True)
class Forgery:
    """A package in pieces. after: what follows the payload's end. payload: as it is to be, in the place of the members.

    digests: whether the header's digest of the payload is made right.
    """

    lead: bytes
    signature: Header
    header: Header
    members: list[Member]
    after: bytes = b""
    digests: bool = True
    payload: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, directory: Path, name: str, files: Files, scripts: dict[str, str] | None = None) -> Self:
        """A real package taken apart."""
        path = build_rpm(directory, name, files=files, payload="w.ufdio", scripts=scripts)
        data = path.read_bytes()
        path.unlink()
        signature, length = Header.parse(data[_LEAD:], _SIGNATURES)
        start = _LEAD + length + -length % 8
        header, length = Header.parse(data[start:], _IMMUTABLE)
        return cls(data[:_LEAD], signature, header, _members(data[start + length :]))

    def set(self, tag: str, value: Value | Raw, kind: int | None = None) -> Self:
        """Give a tag (its name in rpm) another value, and another type, where one is named."""
        number = getattr(rpm, f"RPMTAG_{tag}")
        if kind is None:
            kind = self.header.tags[number][0]
        self.header.tags[number] = (kind, value)
        return self

    def drop(self, *tags: str) -> Self:
        for tag in tags:
            del self.header.tags[getattr(rpm, f"RPMTAG_{tag}")]
        return self

    def get(self, tag: str) -> list[int] | list[bytes]:
        """The values of a tag that has several."""
        value = self.header.tags[getattr(rpm, f"RPMTAG_{tag}")][1]
        assert isinstance(value, list)
        return value.copy()  # type: ignore[return-value]

    def change(self, tag: str, index: int, value: int | bytes) -> Self:
        """Change one of the values of a tag."""
        values = self.get(tag)
        values[index] = value  # type: ignore[call-overload]
        return self.set(tag, values)

    def fill(self, path: str, count: int) -> Self:
        """As many small files more, `path` formatted with the number of each; all different, in one directory."""
        directory, _, name = path.encode().rpartition(b"/")
        numbers = range(count)
        contents = [b"%d\n" % number for number in numbers]
        inode = len(self.get("BASENAMES")) + 1
        lists: dict[str, list[bytes] | list[int]] = {
            "BASENAMES": [name % number for number in numbers],
            "DIRINDEXES": [len(self.get("DIRNAMES"))] * count,
            "FILESIZES": [len(content) for content in contents],
            "FILEDIGESTS": [hashlib.sha256(content).hexdigest().encode() for content in contents],
            "FILEINODES": [inode + number for number in numbers],
        }
        for tag in _OF_FILES:
            if getattr(rpm, f"RPMTAG_{tag}") in self.header.tags:
                several = self.get(tag)
                self.set(tag, [*several, *lists.get(tag, several[-1:] * count)])  # type: ignore[list-item]
        self.set("DIRNAMES", [*self.get("DIRNAMES"), directory + b"/"])  # type: ignore[list-item]
        self.members += [
            Member(b"." + directory + b"/" + name % number, content, inode=inode + number)
            for number, content in zip(numbers, contents, strict=True)
        ]
        return self

    def add(self, path: str, content: bytes = b"", *, mode: int = 0o100644, link: str = "") -> Self:
        """One file more, as the header and the payload have it, all of its attributes those of an ordinary one."""
        directory, _, name = path.encode().rpartition(b"/")
        directories = [*self.get("DIRNAMES"), directory + b"/"]
        digest = hashlib.sha256(content).hexdigest().encode() if mode >> 12 == 0o10 else b""
        index = len(self.get("BASENAMES")) + 1
        values: dict[str, int | bytes] = {
            **{"BASENAMES": name, "DIRINDEXES": len(directories) - 1, "FILEMODES": mode, "FILELINKTOS": link.encode()},
            **{"FILESIZES": len(content or link), "FILEDIGESTS": digest, "FILEINODES": index},
        }
        for tag in _OF_FILES:
            if getattr(rpm, f"RPMTAG_{tag}") in self.header.tags:
                several = self.get(tag)
                self.set(tag, [*several, values.get(tag, several[-1])])  # type: ignore[list-item]
        self.set("DIRNAMES", directories)
        self.members.append(Member(b"." + path.encode(), content or link.encode(), mode, index))
        return self

    def archive(self) -> bytes:
        """The payload before it is compressed."""
        return b"".join(member.pack() for member in (*self.members, Member(b"TRAILER!!!", mode=0))) + self.after

    def write(self, path: Path, *, cut: int | None = None) -> Path:
        """Put the package together. cut: how many bytes its payload keeps."""
        payload = self.archive() if self.payload is None else self.payload
        if self.header.tags.get(rpm.RPMTAG_PAYLOADCOMPRESSOR, (0, b""))[1] == b"gzip" and self.payload is None:
            payload = gzip.compress(payload, 9)
        payload = payload[:cut]
        if self.digests:
            self.set("PAYLOADDIGEST", [hashlib.sha256(payload).hexdigest().encode()], STRINGS)
        header = self.header.pack()
        return assemble(path, self.lead, self.signature, header, payload)


_OF_FILES = (
    *("BASENAMES", "DIRINDEXES", "FILESIZES", "FILEMODES", "FILERDEVS", "FILEMTIMES", "FILEDIGESTS", "FILELINKTOS"),
    *("FILEFLAGS", "FILEUSERNAME", "FILEGROUPNAME", "FILEVERIFYFLAGS", "FILEDEVICES", "FILEINODES", "FILELANGS"),
    *("FILECOLORS", "FILECLASS", "FILEDEPENDSX", "FILEDEPENDSN"),
)


def assemble(path: Path, lead: bytes, signature: Header, header: bytes, payload: bytes) -> Path:
    """A package of these parts; the signature header's digests are made to fit them."""
    tags = dict(signature.tags)
    tags[_SIZE] = (INT32, [len(header) + len(payload)])
    tags[_MD5] = (BINARY, hashlib.md5(header + payload, usedforsecurity=False).digest())
    tags[_SHA1] = (STRING, hashlib.sha1(header, usedforsecurity=False).hexdigest().encode())
    tags[_SHA256] = (STRING, hashlib.sha256(header).hexdigest().encode())
    packed = replace(signature, tags=tags).pack()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lead + packed + bytes(-len(packed) % 8) + header + payload)
    return path


def plain(directory: Path, name: str = "evil", **more: File | str) -> Forgery:
    """A package with one small file, to be made a liar of."""
    return Forgery.of(directory, name, {f"/usr/share/{name}/file": "content\n", **more})


def _unpack(kind: int, store: bytes, offset: int, count: int) -> Value:
    if kind in _INTEGERS:
        form, width = _INTEGERS[kind]
        return [struct.unpack_from(form, store, offset + width * index)[0] for index in range(count)]
    if kind in {STRING, STRINGS, 9}:
        strings = store[offset:].split(b"\0", count)[:count]
        return strings[0] if kind == STRING else strings
    return store[offset : offset + count]


def _pack(kind: int, value: Value) -> Raw:
    if isinstance(value, bytes):
        return Raw(1, value + b"\0") if kind == STRING else Raw(len(value), value)
    if kind in _INTEGERS:
        return Raw(len(value), b"".join(struct.pack(_INTEGERS[kind][0], each) for each in value))
    return Raw(len(value), b"".join(each + b"\0" for each in value if isinstance(each, bytes)))


def _members(archive: bytes) -> list[Member]:
    found, offset = [], 0
    while True:
        numbers = [int(archive[offset + 6 + 8 * index : offset + 14 + 8 * index], 16) for index in range(13)]
        inode, mode, links, size, length = (numbers[index] for index in (0, 1, 4, 6, 11))
        name = archive[offset + 110 : offset + 110 + length - 1]
        if name == b"TRAILER!!!":
            return found
        offset += 110 + length
        offset += -offset % 4
        found.append(Member(name, archive[offset : offset + size], mode, inode, links))
        offset += size
        offset += -offset % 4


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
