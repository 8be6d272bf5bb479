"""What the lines of file_contexts(5) can be about, without asking libselinux: which of them matter for a directory.

libselinux tries a path against thousands of expressions, one after the other. By what an expression begins with, nearly
all of them can be left out for the paths of one directory. Source: selabel_file(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_CONTEXTS = "contexts/files/file_contexts"
CONTEXTS = (_CONTEXTS, f"{_CONTEXTS}.homedirs", f"{_CONTEXTS}.local")
"""Files with contexts, below /etc/selinux/TYPE; the first is always there."""
SUBSTITUTIONS = (f"{_CONTEXTS}.subs", f"{_CONTEXTS}.subs_dist")
"""Files that say which path is labelled as if it were another, in the order in which they are applied."""

_LITERAL = re.compile(r"(?:[^\\.^$?*+|\[\](){}]|\\[^A-Za-z0-9])*")


@dataclass(frozen=True)
class Pattern:
    """The paths that an expression names."""

    regex: str

    @cached_property
    def stem(self) -> str:
        """What all of them begin with."""
        literal = _LITERAL.match(self.regex)
        stem = literal.group() if literal else ""
        rest = self.regex[len(stem) :]
        if "|" in rest and "|" in _outside_groups(rest):
            return ""
        if rest[:1] in {"?", "*", "{"}:
            stem = re.sub(r"\\?.\Z", "", stem, flags=re.DOTALL)  # may be left out
        return re.sub(r"\\(.)", r"\1", stem)

    def may_match(self, path: str) -> bool:
        """Whether it may name the path: certain but for what only PCRE knows."""
        return path.startswith(self.stem) and (self._compiled is None or self._compiled.fullmatch(path) is not None)

    def may_match_below(self, directory: str) -> bool:
        """Whether it may name anything in a directory or below it. directory: ends with a slash."""
        return self.stem.startswith(directory) or directory.startswith(self.stem)

    @cached_property
    def _compiled(self) -> re.Pattern[str] | None:
        if "[:" in self.regex:
            return None  # a class within brackets, [[:alpha:]], is something else to Python
        try:
            return re.compile(self.regex, re.DOTALL)
        except re.error:
            return None


class FileContexts:
    """The contexts and substitutions of a policy. files: by their path below /etc/selinux/TYPE."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def narrowed(self, directory: str) -> dict[str, bytes]:
        """The same without the lines that can name nothing in the directory or below it. directory: ends with a slash.

        The lines that stay are in the order they were in: the last one that matches is the one that counts.
        """
        places = self.places(directory)
        kept = {
            name: "".join(f"{line}\n" for line, pattern in lines if any(map(pattern.may_match_below, places))).encode(
                "utf-8", "surrogateescape"
            )
            for name, lines in self._lines.items()
        }
        return {**{name: self.files[name] for name in SUBSTITUTIONS if name in self.files}, **kept}

    def places(self, directory: str) -> set[str]:
        """Directories as which libselinux may see what is in one or below it. directory, and they: end with a slash."""
        found = {directory}
        for table in self._substitutions:
            for each in tuple(found):
                for source, target in table:
                    if each.startswith(f"{source}/"):
                        found.add(target + each.removeprefix(source))
                    elif source.startswith(each):
                        found.add(f"{target}/")
        return found

    def seen_as(self, path: str) -> set[str]:
        """A path, and those that libselinux may see it as."""
        return {place.removesuffix("/") for place in self.places(f"{path}/")}

    @cached_property
    def _lines(self) -> dict[str, list[tuple[str, Pattern]]]:
        present = [name for name in CONTEXTS if name in self.files]
        return {name: [(line, Pattern(line.split()[0])) for line in _lines(self.files[name])] for name in present}

    @cached_property
    def _substitutions(self) -> list[list[tuple[str, str]]]:
        return [
            [(pair[0], pair[1]) for line in _lines(self.files.get(name, b"")) if len(pair := line.split()) > 1]
            for name in SUBSTITUTIONS
        ]


def changed_patterns(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Pattern]:
    """What the lines that one of two policies has and the other has not are about. Pure."""
    regexes = {line.split()[0] for line in _differing(before, after, CONTEXTS)}
    regexes |= {f"{re.escape(line.split()[0])}(/.*)?" for line in _differing(before, after, SUBSTITUTIONS)}
    return [Pattern(regex) for regex in sorted(regexes)]


def _outside_groups(regex: str) -> str:
    """The regex without what is in its parentheses, roughly: too much is looked at, never too little."""
    while (shorter := re.sub(r"\([^()]*\)", "", regex)) != regex:
        regex = shorter
    return regex


def _lines(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield " ".join(line.split())


def _differing(before: Mapping[str, bytes], after: Mapping[str, bytes], names: Sequence[str]) -> Iterable[str]:
    one, other = ({line for name in names for line in _lines(files.get(name, b""))} for files in (before, after))
    return one ^ other
