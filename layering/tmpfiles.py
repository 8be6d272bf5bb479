"""Lines of tmpfiles.d(5), written and read: what an image says about the paths that are not part of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What would end a field, or start a quote or an escape. In quotes all versions of systemd take \" and \\ and no other
# escape; only the 7th field, which has no quotes, has had C escapes from the start.
_UNSAFE = re.compile(r"[\s\"'\\\x00-\x1f\x7f]")
_UNSAFE_IN_QUOTES = re.compile(r"[\"\\]")
_LINE_BREAKS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ESCAPE = re.compile(r"((?:\\x[0-9a-fA-F]{2})+)|\\(.)")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_TOP = re.compile(r"(\S+ \"?)/([^/\s\"\\%]+)(?=/)")
_DIRECTORIES = "dDvqQ"
_OCTAL = re.compile(r"[0-7]{1,5}")
_FIELD = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\S+")


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A directory (`d`) with its mode and owner, or a symbolic link (`L`) with its target."""

    path: str
    type: str
    mode: int = 0
    user: str = "-"
    group: str = "-"
    target: str = ""

    def render(self) -> str:
        """The line as tmpfiles.d(5) wants it, without its newline."""
        if self.type == "L":
            return f"L {_field(self.path)} - - - - {_argument(self.target)}"
        return f"d {_field(self.path)} {self.mode:04o} {_field(self.user)} {_field(self.group)} - -"


def top_of(line: str) -> str:
    """The first part of the path that a rendered line is about, the path going on below it; empty otherwise."""
    found = _TOP.match(line)
    return found[2] if found else ""


def below(line: str, directory: str) -> str:
    """A rendered line, with this absolute directory in the place of the first part of its path."""
    return _TOP.sub(lambda found: f"{found[1]}{directory.rstrip('/')}", line, count=1)


def paths_of(fragment: str) -> set[str]:
    """The paths that a tmpfiles.d fragment speaks of."""
    return {path for _, path, *_ in _lines_of(fragment)}


def directories_of(fragment: str) -> Iterator[Line]:
    """The directories that a tmpfiles.d fragment has made; those whose path the running system would have to tell, not.

    Without mode and owner they are root's and 0755, as tmpfiles.d(5) has it.
    """
    for kind, path, *more in _lines_of(fragment):
        if kind[0] in _DIRECTORIES and "%" not in path:
            mode, user, group = (*(each.lstrip("~:") for each in more[:3]), "-", "-", "-")[:3]
            numbered = int(mode, 8) & 0o7777 if _OCTAL.fullmatch(mode) else 0o755
            yield Line(path, "d", numbered, *("root" if each == "-" else each for each in (user, group)))


def _lines_of(fragment: str) -> Iterator[list[str]]:
    """The fields of each line, the path as it is meant."""
    for line in fragment.split("\n"):
        fields = _FIELD.findall(line)
        if len(fields) > 1 and not fields[0].startswith("#"):
            fields[1] = _unescape(fields[1]).replace("%%", "%").rstrip("/") or "/"
            yield fields


def _field(text: str) -> str:
    """One of the first six fields, in quotes where it needs them, and with what looks like a specifier (%) doubled."""
    text = text.replace("%", "%%")
    if not _UNSAFE.search(text):
        return text
    escaped = _UNSAFE_IN_QUOTES.sub(r"\\\g<0>", text)
    return f'"{_LINE_BREAKS.sub(_c_escape, escaped)}"'


def _argument(text: str) -> str:
    """The seventh field, which takes the rest of the line: C escapes, no quotes; a lone - would be no argument."""
    return r"\x2d" if text == "-" else _UNSAFE.sub(_c_escape, text).replace("%", "%%")


def _c_escape(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode())


def _unescape(field: str) -> str:
    if len(field) > 1 and field[0] in "\"'" and field[-1] == field[0]:
        field = field[1:-1]
    return _ESCAPE.sub(_character, field)


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\x", "")).decode(errors="replace")
    return _LETTERS.get(match[2], match[2])
