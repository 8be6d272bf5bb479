"""/etc/passwd and /etc/group while scripts run: one file for them, as useradd(8) wants it, two in an image. Pure.

An image keeps its users and groups in /usr/lib, for nss-altfiles, and the administrator's in /etc: an /etc/passwd that
the administrator has changed never takes on what a new image has in its own.
"""

from __future__ import annotations


def merged(etc: str, lib: str) -> str:
    """What scripts see: all of /etc's, then those of /usr/lib's that it does not have."""
    names = set(_by_name(etc))
    lines = [line for name, line in _by_name(lib).items() if name not in names]
    return "".join(f"{line}\n" for line in (*etc.splitlines(), *lines))


def parted(after: str, etc: str, lib: str) -> tuple[str, str]:
    """What scripts left, as (/etc's, /usr/lib's): each where it was before, new ones in /usr/lib's."""
    left = _by_name(after)
    in_etc = _by_name(etc)
    new_etc = _kept(etc, left, known=set())
    new_lib = _kept(lib, left, known=set(in_etc))
    known = {*in_etc, *_by_name(lib)}
    new = [line for name, line in left.items() if name not in known]
    return new_etc, new_lib + "".join(f"{line}\n" for line in new)


def _kept(before: str, left: dict[str, str], known: set[str]) -> str:
    """The lines of a file as they are now. known: names that another file answers for."""
    lines = []
    for line in before.splitlines():
        name, colon, _ = line.partition(":")
        if not colon or name in known:
            lines.append(line)
        elif name in left:
            lines.append(left[name])
    return "".join(f"{line}\n" for line in lines)


def _by_name(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, _ = line.partition(":")
        if colon and name:
            found.setdefault(name, line)
    return found
