"""Where a path of an RPM goes in an OSTree image. Pure.

An image holds /usr, and /etc as /usr/etc. What lives outside of it (/var, /run, …) can only be described to
systemd-tmpfiles, which makes it at boot. Source: rpm-ostree's rules (docs/architecture-core.md, issue 233).
"""

from __future__ import annotations

import enum
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from journal.printable import printable
from layering.errors import ImportRefused
from layering.tmpfiles import Line

_IN_IMAGE = frozenset({"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"})
# Outside of the image, made at boot. On OSTree hosts /home, /root, /srv, /mnt, /media lead into /var.
_AT_BOOT = frozenset({"var", "run", "tmp", "home", "root", "srv", "mnt", "media"})
# Of the host's own, whatever a package says of them.
_OF_THE_HOST = _AT_BOOT | {"boot", "dev", "proc", "sys", "sysroot", "ostree", "opt"}
OUTSIDE = frozenset({*_OF_THE_HOST, "usr/local"})
"""What is not part of an image, relative to its root."""

DEPTH_AT_MOST = 128
"""How deep a path may lie: what is deeper than any file system hierarchy is made to exhaust who walks it."""

PATH_AT_MOST = 4095
"""Bytes of a path or of a link's target: PATH_MAX of limits.h, without its NUL."""

_NAME_AT_MOST = 255  # bytes, NAME_MAX of limits.h
_SHOWN = 60  # characters of a name that is too long

# Long since links into /run; systemd-tmpfiles wants them spelt out.
_MOVED = (("/var/run/", "/run/"), ("/var/lock/", "/run/lock/"))
_KERNEL = re.compile(r"/(?:usr/)?lib/modules/[^/]+/vmlinu[xz]|/boot/vmlinu[xz]|/boot/Image|/boot/initr")


class Kind(enum.Enum):
    """What a path of a package is. Anything else can't be layered."""

    REGULAR = "file"
    DIRECTORY = "directory"
    SYMLINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """A path as the package has it: absolute; mode: permission bits alone; target: of a link."""

    path: str
    kind: Kind
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    target: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of it.

    path: in the image, relative to its root; None where it is not part of it. target: of the link there.
    line: for tmpfiles.d. note: what the administrator should know.
    """

    path: str | None = None
    target: str = ""
    line: Line | None = None
    note: str | None = None


def place(entry: Entry, package: str) -> Placement:
    """Where the entry goes; `package` is the NEVRA that an error names.

    Raises:
        ImportRefused: it can't be part of a layer.
    """
    parts = _parts(entry.path, package)
    if not parts:
        return Placement()
    top, rest = parts[0], parts[1:]
    path = "/".join(parts)
    match top:
        case "usr" if rest[:1] == ["local"]:
            return _in_usr_local(entry, rest, package)
        case "usr" if rest[:1] == ["etc"]:
            raise _refusal(entry, package, "an OSTree image keeps its own /etc there")
        case "etc":
            return Placement(posixpath.join("usr", path), entry.target)
        case "opt" if rest:
            return _in_opt(entry, rest)
        case _ if top in _IN_IMAGE:
            return Placement(path, entry.target)
        case _ if top in _OF_THE_HOST and not rest:
            return Placement()
        case _ if top in _AT_BOOT:
            return _at_boot(entry, f"/{path}")
        case _:
            raise _refusal(entry, package, "it is not part of an OSTree image")


def refuse_kernel(paths: Iterable[str], provides: Iterable[str], package: str) -> None:
    """Refuse a kernel: it has to come with the base, for the boot loader and the initramfs to know it.

    A kernel is what provides `kernel`, or brings its image. Modules beside it, such as kernel-modules-extra, are not.

    Raises:
        ImportRefused: the package is one.
    """
    found = next((path for path in paths if _KERNEL.match(path)), None)
    if found is None and "kernel" in provides:
        found = "it provides kernel"
    if found is not None:
        raise ImportRefused(f"{package} is a kernel ({found}): kernels come with the base and can't be layered")


def _parts(path: str, package: str) -> list[str]:
    if not path.startswith("/"):
        raise ImportRefused(f"{package}: {path!r} is not an absolute path")
    parts = [part for part in path.split("/") if part]
    if ".." in parts or "." in parts:
        raise ImportRefused(f"{package}: {path!r} leads out of where it says it is")
    if len(parts) > DEPTH_AT_MOST:
        raise ImportRefused(f"{package}: {path[:_SHOWN]!r}… lies below {len(parts) - 1:,} directories")
    if len(path.encode(errors="surrogateescape")) > PATH_AT_MOST:
        raise ImportRefused(f"{package}: {path[:_SHOWN]!r}… is longer than {PATH_AT_MOST} bytes")
    for part in parts:
        if len(part.encode(errors="surrogateescape")) > _NAME_AT_MOST:
            raise ImportRefused(f"{package}: the name {part[:_SHOWN]!r}… is longer than {_NAME_AT_MOST} bytes")
    return parts


def _in_usr_local(entry: Entry, rest: list[str], package: str) -> Placement:
    if len(rest) == 1 and entry.kind is Kind.DIRECTORY:
        return Placement()
    raise _refusal(entry, package, "/usr/local belongs to the administrator of the host")


def _in_opt(entry: Entry, rest: list[str]) -> Placement:
    """/opt leads into /var: its content moves under /usr, and each top entry is linked to at boot."""
    line = Line(f"/opt/{rest[0]}", "L", target=f"../../usr/lib/opt/{rest[0]}")
    target = entry.target
    if target and not target.startswith("/"):
        seen = posixpath.normpath(posixpath.join("/opt", *rest[:-1], target))
        if not seen.startswith("/opt/"):
            # The link lies two levels deeper than it was made for: only an absolute target says the same.
            target = seen
    return Placement(posixpath.join("usr/lib/opt", *rest), target, line)


def _at_boot(entry: Entry, path: str) -> Placement:
    for old, new in _MOVED:
        if path.startswith(old):
            path = new + path.removeprefix(old)
    if path in {"/var/run", "/var/lock", "/run/lock"}:
        return Placement()
    match entry.kind:
        case Kind.DIRECTORY:
            return Placement(line=Line(path, "d", entry.mode, entry.user, entry.group))
        case Kind.SYMLINK:
            return Placement(line=Line(path, "L", target=entry.target))
        case Kind.REGULAR:
            return Placement(note=f"{printable(entry.path)} is left out: it is not part of an OSTree image")


def _refusal(entry: Entry, package: str, reason: str) -> ImportRefused:
    return ImportRefused(f"{package}: {printable(entry.path)} can't be layered: {reason}")
