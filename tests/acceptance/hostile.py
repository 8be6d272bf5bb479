"""Packages that an attacker would make, each named by what is wrong with it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.acceptance.forge import BINARY, INT16, INT32, INT64, LINK, STRING, STRINGS, Forgery, Member, Raw, plain
from tests.acceptance.rpms import File

Change = Callable[[Forgery], object]
MANY = 1_000_000
BOMB = 4 << 20  # bytes of a piece that a bomb is made of
FIFO, DEVICE, BLOCK, SOCKET = 0o010644, 0o020644, 0o060644, 0o140644


def _first(forgery: Forgery, **changes: object) -> None:
    forgery.members[0] = replace(forgery.members[0], **changes)  # type: ignore[arg-type]


def _name(name: bytes, directory: bytes = b"/usr/share/evil/") -> Change:
    """The package's one file under another name, in the payload as well."""

    def change(forgery: Forgery) -> None:
        forgery.set("BASENAMES", [name]).set("DIRNAMES", [directory])
        _first(forgery, name=b"." + directory + name)

    return change


def _content(content: bytes, size: int | None = None, told: int | None = None) -> Change:
    """Another content in the payload. size: what its entry there says. told: what the header says."""

    def change(forgery: Forgery) -> None:
        _first(forgery, content=content, size=size)
        if told is not None:
            forgery.set("FILESIZES", [told])

    return change


def _long_size(size: int) -> Change:
    def change(forgery: Forgery) -> None:
        forgery.drop("FILESIZES").set("LONGFILESIZES", [size], INT64)

    return change


def _node(mode: int) -> Change:
    return lambda forgery: forgery.add("/usr/share/evil/node", mode=mode)


def _linked(**lie: int | bytes) -> Change:
    """A second file that claims to be the first one's hardlink and differs from it."""

    def change(forgery: Forgery) -> None:
        forgery.add("/usr/share/evil/twin", b"the twin\n")
        forgery.set("FILEINODES", [1, 1])
        _first(forgery, content=b"")  # which is on the last of them
        for tag, value in lie.items():
            forgery.change(tag, 1, value)

    return change


def _bomb(forgery: Forgery) -> None:
    """Some KB that unpack to many GB: gzip members of zeros, one after the other, inside of a file's content."""
    start = forgery.archive()[: -len(Member(b"TRAILER!!!", mode=0).pack()) - 12]
    start = start.replace(b"%08x" % len(b"content\n"), b"%08x" % 0xFFFFFFFF, 1)
    forgery.set("PAYLOADCOMPRESSOR", b"gzip", STRING)
    forgery.payload = gzip.compress(start) + gzip.compress(bytes(BOMB), 9) * 1024


def _bomb_of_repeats(forgery: Forgery) -> None:
    """The one file again and again, each time as long as the header says: what is read is not what is counted."""
    forgery.set("PAYLOADCOMPRESSOR", b"gzip", STRING)
    content = bytes(BOMB)
    forgery.set("FILESIZES", [BOMB]).set("FILEDIGESTS", [hashlib.sha256(content).hexdigest().encode()])
    forgery.payload = gzip.compress(replace(forgery.members[0], content=content).pack()) * 1024


def _many(forgery: Forgery) -> None:
    """A million files, as far as the header says; their values are all the same."""
    sizes = {INT16: 2, INT32: 4}
    for tag in ("FILESIZES", "FILERDEVS", "FILEMTIMES", "FILEFLAGS", "FILEVERIFYFLAGS", "FILEDEVICES", "FILEINODES"):
        kind = INT16 if tag == "FILERDEVS" else INT32
        forgery.set(tag, Raw(MANY, bytes(sizes[kind] * MANY)))
    forgery.set("FILEMODES", [0o100644] * MANY).set("DIRINDEXES", Raw(MANY, bytes(4 * MANY)))
    for tag in ("FILEDIGESTS", "FILELINKTOS", "FILEUSERNAME", "FILEGROUPNAME", "FILELANGS"):
        forgery.set(tag, Raw(MANY, bytes(MANY)))
    forgery.set("BASENAMES", Raw(MANY, b"".join(b"%d\0" % index for index in range(MANY))))
    forgery.drop("FILECOLORS", "FILECLASS")
    forgery.members.clear()


def _many_tags(forgery: Forgery) -> None:
    """A million entries in the header's index."""
    for tag in range(10_000, 10_000 + MANY):
        forgery.header.tags[tag] = (BINARY, Raw(1, b"\0"))


def _scripts(tag: str, value: object, kind: int) -> Change:
    def change(forgery: Forgery) -> None:
        forgery.set("PREIN", b"true", STRING).set("PREINPROG", b"/bin/sh", STRING)
        forgery.set(tag, value, kind)  # type: ignore[arg-type]

    return change


def _trigger(tag: str, values: list[bytes] | list[int]) -> Change:
    """A trigger whose parts do not fit together."""

    def change(forgery: Forgery) -> None:
        forgery.set("TRIGGERSCRIPTS", [b"true"], STRINGS).set("TRIGGERSCRIPTPROG", [b"/bin/sh"], STRINGS)
        forgery.set("TRIGGERNAME", [b"evil"], STRINGS).set("TRIGGERVERSION", [b""], STRINGS)
        forgery.set("TRIGGERFLAGS", [1 << 16], INT32).set("TRIGGERINDEX", [0], INT32)
        forgery.set(tag, values)

    return change


def _trigger_lacks(tag: str) -> Change:
    return lambda forgery: (_trigger("TRIGGERINDEX", [0])(forgery), forgery.drop(tag))


def _set(tag: str, value: object, kind: int | None = None) -> Change:
    return lambda forgery: forgery.set(tag, value, kind)  # type: ignore[arg-type]


def _twice(forgery: Forgery) -> None:
    forgery.add("/usr/share/evil/file", b"another\n")


def _deep(forgery: Forgery) -> None:
    _name(b"file", b"/usr" + b"/a" * 1500 + b"/")(forgery)


def _link(target: bytes) -> Change:
    return lambda forgery: forgery.add("/usr/share/evil/link", mode=LINK, link=target.decode())


def _below_a_link(target: str) -> Change:
    def change(forgery: Forgery) -> None:
        forgery.add("/usr/share/evil/a", mode=LINK, link=target).add("/usr/share/evil/a/below", b"x")

    return change


def _below_the_bases_link(path: str) -> Change:
    return lambda forgery: forgery.add(path, b"x")


LYING: dict[str, tuple[Change, str]] = {
    # Paths
    "dots in a directory": (_name(b"file", b"/usr/share/../../../"), "leads out"),
    "dots in a name": (_name(b"../../../canary"), "/usr/share/evil/"),
    "dots as a name": (_name(b".."), "/usr/share/evil/"),
    "an absolute name": (_name(b"/canary"), "/canary"),
    "a relative directory": (_name(b"file", b"usr/share/"), "usr/share/file"),
    "a directory that ends in no slash": (_name(b"file", b"/usr/share/evil"), "/usr/share/evil"),
    "a slash in a name": (_name(b"a/b"), "a/b"),
    "an empty name": (_name(b""), "/usr/share/evil/"),
    "a name as long as no file system has": (_name(b"n" * 256), "255"),
    "a path of 1,500 directories": (_deep, "directories"),
    "the same path twice": (_twice, "/usr/share/evil/file"),
    "a name that is not UTF-8": (_name(b"caf\xe9"), "UTF-8"),
    "a name that clears the screen": (_name(b"\x1b[2J\nDone.\r", b"/nowhere/"), "\\x1b[2J\\nDone.\\r"),
    "a directory index out of range": (_set("DIRINDEXES", [7]), "list of files"),
    "a directory index below zero": (_set("DIRINDEXES", [0xFFFFFFFF]), "list of files"),
    # Links
    "a link target longer than a path": (_link(b"x" * 5000), "4095"),
    "an empty link target": (_link(b""), "/usr/share/evil/link"),
    "files below its own link to /etc": (_below_a_link("/etc"), "/usr/share/evil/a"),
    "files below its own link out of the image": (_below_a_link("../../../../.."), "/usr/share/evil/a"),
    "files below a file": (lambda forgery: forgery.add("/usr/share/evil/file/below", b"x"), "/usr/share/evil/file"),
    "files below the base's link out of the image": (
        _below_the_bases_link("/usr/share/out/x"),
        "/usr/share/out",
    ),
    "files below the base's circle of links": (_below_the_bases_link("/usr/share/round/x"), "/usr/share/round"),
    "files below the base's link into /var": (_below_the_bases_link("/usr/share/state/x"), "/usr/share/state"),
    # Types
    "a character device": (_node(DEVICE), "/usr/share/evil/node"),
    "a block device": (_node(BLOCK), "/usr/share/evil/node"),
    "a fifo": (_node(FIFO), "/usr/share/evil/node"),
    "a socket": (_node(SOCKET), "/usr/share/evil/node"),
    "no type at all": (_node(0o644), "/usr/share/evil/node"),
    "a setuid file of nobody known": (
        lambda f: f.set("FILEMODES", [0o104755]).set("FILEUSERNAME", [b"mallory"]),
        "mallory",
    ),
    # Sizes, digests and counts
    "a file that is shorter": (_content(b"cont"), "/usr/share/evil/file"),
    "a file that is longer": (_content(b"content\n" + bytes(5000)), "payload"),
    "a file that is shorter than its entry": (_content(b"content\n" + bytes(5000), size=8), "payload"),
    "a size of 2^63": (_long_size(1 << 63), "/usr/share/evil/file"),
    "a size below zero": (_long_size((1 << 64) - 8), "/usr/share/evil/file"),
    "a size of an exabyte": (_long_size(1 << 60), "1,152,921,504,606,846,976 bytes"),
    "a digest that lies": (_set("FILEDIGESTS", [b"0" * 64]), "/usr/share/evil/file"),
    "a digest that is none": (_set("FILEDIGESTS", [b"zz"]), "/usr/share/evil/file"),
    "no digest": (_set("FILEDIGESTS", [b""]), "/usr/share/evil/file"),
    "an unknown digest": (_set("FILEDIGESTALGO", [99], INT32), "99"),
    "several digest algorithms": (_set("FILEDIGESTALGO", [8, 8], INT32), "FILEDIGESTALGO"),
    "a file that the payload lacks": (lambda f: f.members.clear(), "payload"),
    "a file that the header lacks": (lambda f: f.members.append(Member(b"./usr/share/more", b"x")), "payload"),
    "the same file twice in the payload": (lambda f: f.members.append(f.members[0]), "/usr/share/evil/file"),
    "a directory with content": (
        lambda f: (f.add("/usr/share/evil/d", mode=0o040755), f.members.append(replace(f.members.pop(), content=b"x"))),
        "payload",
    ),
    "hardlinks of two modes": (_linked(FILEMODES=0o104755), "hardlinked"),
    "hardlinks of two sizes": (_linked(FILESIZES=5), "/usr/share/evil/"),
    "hardlinks of two digests": (_linked(), "hardlinked"),
    "a bomb inside of a file": (_bomb, "payload"),
    "a bomb of one file many times": (_bomb_of_repeats, "/usr/share/evil/file"),
    # The header
    "modes of fewer files": (lambda f: f.add("/usr/share/evil/b").set("FILEMODES", [0o100644]), "FILEMODES"),
    "names of fewer files": (lambda f: f.add("/usr/share/evil/b").set("BASENAMES", [b"file"]), "DIRINDEXES"),
    "no modes": (lambda f: f.drop("FILEMODES"), "FILEMODES"),
    "modes that are text": (_set("FILEMODES", [b"0644"], STRINGS), "BAD, tag"),
    "names that are numbers": (_set("BASENAMES", [1], INT32), "BAD, tag"),
    "an index of a million entries": (_many_tags, "header"),
    "a million files": (_many, "1,000,000"),
    "an unknown compressor": (_set("PAYLOADCOMPRESSOR", b"rot13", STRING), "rot13"),
    "a compressor with options": (_set("PAYLOADCOMPRESSOR", b"gzip.ufdio|/bin/sh", STRING), "gzip.ufdio|/bin/sh"),
    "a compressor that is a number": (_set("PAYLOADCOMPRESSOR", [1], INT32), "BAD, tag"),
    "another payload format": (_set("PAYLOADFORMAT", b"tar", STRING), "tar"),
    "a script that is a number": (_scripts("PREIN", [1], INT32), "BAD, tag"),
    "an interpreter that is a number": (_scripts("PREINPROG", [1], INT32), "BAD, tag"),
    "script flags that are text": (_scripts("PREINFLAGS", b"1", STRING), "BAD, tag"),
    "a trigger of too many names": (_trigger("TRIGGERNAME", [b"a", b"b"]), "TRIGGER"),
    "a trigger of too few versions": (
        lambda f: (_trigger("TRIGGERNAME", [b"a", b"b"])(f), f.set("TRIGGERINDEX", [0, 0])),
        "TRIGGER",
    ),
    "a trigger of no script": (_trigger("TRIGGERINDEX", [5]), "TRIGGERINDEX"),
    "a trigger of no flags": (_trigger_lacks("TRIGGERFLAGS"), "TRIGGERFLAGS"),
    "a trigger of no version": (_trigger_lacks("TRIGGERVERSION"), "TRIGGERVERSION"),
    "a trigger on a name that is not UTF-8": (_trigger("TRIGGERNAME", [b"\xfa"]), "TRIGGERNAME"),
    "no operating system": (lambda f: f.drop("OS"), "librpm does not take it"),
    "a header with a script of 70 MiB": (_scripts("PREIN", b"#" * (70 << 20), STRING), "header of"),
    "provides of no version": (lambda f: f.drop("PROVIDEVERSION"), "PROVIDEVERSION"),
    "provides of no flags": (lambda f: f.drop("PROVIDEFLAGS"), "PROVIDEFLAGS"),
    "provides of too few flags": (_set("PROVIDENAME", [b"evil", b"more"]), "PROVIDE"),
    "requires of two counts": (_set("REQUIREVERSION", [b""]), "REQUIRE"),
    "capabilities that are none": (_set("FILECAPS", [b"cap_of_\x1bnonsense=ep"], STRINGS), "/usr/share/evil/file"),
    # What it is called: a ref, a file name, a line on a terminal
    "a name that is a path": (_set("NAME", b"../../../canary"), "../../../canary"),
    "a name that is two dots": (_set("NAME", b".."), "'..-1.0-1.noarch'"),
    "an empty package name": (_set("NAME", b""), "'-1.0-1.noarch'"),
    "a package name with a newline": (_set("NAME", b"evil\nDone."), "evil\\nDone."),
    "a package name with an escape": (_set("NAME", b"evil\x1b[2J"), "evil\\x1b[2J"),
    "a package name that is not UTF-8": (_set("NAME", b"\xff\xfe"), "\\udcff\\udcfe"),
    "a package name that is an option": (_set("NAME", b"--root"), "--root"),
    "a version with a dash": (_set("VERSION", b"1-2"), "1-2"),
    "a version with a slash": (_set("VERSION", b"1/2"), "1/2"),
    "an empty release": (_set("RELEASE", b""), "'evil-1.0-.noarch'"),
    "no release": (lambda f: f.drop("RELEASE"), "RELEASE"),
    "an architecture that is a path": (_set("ARCH", b"../x"), "../x"),
    "a version that is a number": (_set("VERSION", [1], INT32), "BAD, tag"),
    "an epoch that is text": (_set("EPOCH", b"1", STRING), "BAD, tag"),
}
"""What is wrong, how to make it so in a plain package named evil, and what has to be said."""


def forged(directory: Path, wrong: str) -> Path:
    """A package of which `wrong` is true and all digests fit."""
    forgery = plain(directory / "real")
    LYING[wrong][0](forgery)
    return forgery.write(directory / "evil.rpm")


BASE_LINKS = {
    "/usr/share/out": File(symlink="../../.."),
    "/usr/share/round": File(symlink="square"),
    "/usr/share/square": File(symlink="round"),
    "/usr/share/state": File(symlink="/var/lib"),
}
"""Links that a base may have, and that lead where no package's file may go."""
