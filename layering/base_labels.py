"""The base's own files under a policy that packages changed: those that its changed contexts name get their new labels.

As fixfiles(8) does it with `-C`: the rest of the base is not looked at, whatever its size.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.labels import Labels, path_in_policy, relabelled  # noqa: E402
from layering.policy import CONTEXTS, SUBSTITUTIONS  # noqa: E402
from layering.trees import join, relabelled_metadata  # noqa: E402

_LITERAL = re.compile(r"(?:[^\\.^$?*+|\[\](){}]|\\[^A-Za-z0-9])*")
_BELOW = "(/.*)?"


@dataclass(frozen=True)
class Pattern:
    """Paths that a line of file_contexts(5) names. stem: what all begin with. regex: None where only PCRE knows it."""

    stem: str
    regex: re.Pattern[str] | None

    def matches(self, path: str) -> bool:
        return path.startswith(self.stem) and (self.regex is None or self.regex.fullmatch(path) is not None)

    def may_match_below(self, directory: str) -> bool:
        """directory: ends with a slash."""
        return self.stem.startswith(directory) or directory.startswith(self.stem)


def changed_patterns(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Pattern]:
    """What the lines that one of two policies has and the other has not are about. Pure.

    Args:
        before, after: files of the policies, by their path below /etc/selinux/TYPE.
    """
    regexes = {line.split()[0] for line in _differing(before, after, CONTEXTS)}
    regexes |= {re.escape(line.split()[0]) + _BELOW for line in _differing(before, after, SUBSTITUTIONS)}
    return [_pattern(regex) for regex in sorted(regexes)]


def relabel_base(repo: OSTree.Repo, tree: OSTree.MutableTree, before: Labels, after: Labels) -> int:
    """Give a tree's paths the labels of `after` where `before` gave others, inside a transaction of the caller's.

    Returns how many of them had another one.
    """
    if before.policy is None or after.policy is None or before.checksum == after.checksum:
        return 0
    patterns = changed_patterns(before.policy.files, after.policy.files)
    substitutions = _substitutions(after.policy.files)
    return _Walk(repo, before, after, substitutions).directory(tree, "", patterns)


@dataclass(frozen=True)
class _Walk:
    repo: OSTree.Repo
    before: Labels
    after: Labels
    substitutions: Sequence[tuple[str, str]]

    def directory(self, tree: OSTree.MutableTree, real: str, patterns: Sequence[Pattern]) -> int:
        """How much changed in the tree's directory `real`. patterns: all that may name something in it."""
        count = 0
        for name, checksum in tree.get_files().items():
            path = join(real, name)
            if self._named(path, patterns):
                mode = self.repo.load_file(checksum)[2].get_attribute_uint32("unix::mode")
                if self._differs(path, mode):
                    found = relabelled(self.repo, checksum, self.after.label(path, mode))
                    tree.replace_file(name, found)
                    count += found != checksum
        for name, child in tree.get_subdirs().items():
            path = join(real, name)
            if self._named(path, patterns) and self._differs(path, stat.S_IFDIR):
                checksum = child.get_metadata_checksum()
                found = relabelled_metadata(self.repo, checksum, self.after, path)
                child.set_metadata_checksum(found)
                count += found != checksum
            if below := self._below(path, patterns):
                count += self.directory(child, path, below)
        return count

    def _differs(self, path: str, mode: int) -> bool:
        return self.before.label(path, mode) != self.after.label(path, mode)

    def _named(self, path: str, patterns: Iterable[Pattern]) -> bool:
        both = {path_in_policy(path), self._as_seen(path)}
        return any(pattern.matches(each) for pattern in patterns for each in both)

    def _below(self, path: str, patterns: Sequence[Pattern]) -> Sequence[Pattern]:
        own, seen = f"{path_in_policy(path)}/", f"{self._as_seen(path)}/"
        if any(f"{source}/".startswith(own) for source, _ in self.substitutions):
            return patterns  # part of it is seen elsewhere
        return [pattern for pattern in patterns if pattern.may_match_below(own) or pattern.may_match_below(seen)]

    def _as_seen(self, path: str) -> str:
        """The path that libselinux compares: see file_contexts.subs of selabel_file(5)."""
        seen = path_in_policy(path)
        for source, target in self.substitutions:
            if f"{seen}/".startswith(f"{source}/"):
                return target + seen.removeprefix(source)
        return seen


def _pattern(regex: str) -> Pattern:
    literal = _LITERAL.match(regex)
    stem = literal.group() if literal else ""
    rest = regex[len(stem) :]
    if rest[:1] in {"?", "*", "{"}:
        stem = re.sub(r"\\?.\Z", "", stem, flags=re.DOTALL)  # may be left out
    stem = re.sub(r"\\(.)", r"\1", stem)
    if "|" in _outside_groups(rest):
        stem = ""
    try:
        # A class within brackets, [[:alpha:]], is something else to Python.
        return Pattern(stem, None if "[:" in regex else re.compile(regex, re.DOTALL))
    except re.error:
        return Pattern(stem, None)


def _outside_groups(regex: str) -> str:
    """The regex without what is in its parentheses, roughly: too much is looked at, never too little."""
    while (shorter := re.sub(r"\([^()]*\)", "", regex)) != regex:
        regex = shorter
    return regex


def _lines(files: Mapping[str, bytes], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        for line in files.get(name, b"").decode(errors="replace").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield " ".join(line.split())


def _differing(before: Mapping[str, bytes], after: Mapping[str, bytes], names: Sequence[str]) -> set[str]:
    return set(_lines(before, names)) ^ set(_lines(after, names))


def _substitutions(files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    pairs = (line.split() for line in _lines(files, SUBSTITUTIONS))
    return [(pair[0], pair[1]) for pair in pairs if len(pair) > 1]
