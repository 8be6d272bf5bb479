"""Users and groups of a tree, by name: passwd(5) and group(5) where an image keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.commit_tree import read_text  # noqa: E402
from layering.errors import ImportRefused  # noqa: E402

# nss-altfiles' first, as the image's own; a name is taken from the first file that has it.
_PLACES = ("usr/lib", "usr/etc", "etc")
_FIELDS = 3  # name, password, number: passwd(5) and group(5) begin alike


@dataclass(frozen=True, slots=True)
class Accounts:
    """Numbers of the users and groups of a tree."""

    users: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    def has(self, user: str, group: str) -> bool:
        """Whether the tree knows both."""
        return user in self.users and group in self.groups

    def uid(self, name: str, package: str) -> int:
        """The user's number. Raises ImportRefused where the tree has no such user; `package` is named then."""
        return _number(self.users, "user", name, package)

    def gid(self, name: str, package: str) -> int:
        """The group's number. Raises ImportRefused where the tree has no such group; `package` is named then."""
        return _number(self.groups, "group", name, package)


def accounts_of(repo: OSTree.Repo, commit: str) -> Accounts:
    """The users and groups that a commit's tree knows."""
    return Accounts(_read(repo, commit, "passwd"), _read(repo, commit, "group"))


def parse_accounts(texts: Iterable[str]) -> dict[str, int]:
    """Names and numbers of passwd(5) or group(5) files; the first word on a name counts."""
    found = {"root": 0}
    for text in texts:
        for line in text.splitlines():
            fields = line.split(":")
            if len(fields) >= _FIELDS and fields[2].isdecimal():
                found.setdefault(fields[0], int(fields[2]))
    return found


def _read(repo: OSTree.Repo, commit: str, name: str) -> dict[str, int]:
    texts = (read_text(repo, commit, f"{place}/{name}") for place in _PLACES)
    return parse_accounts(text for text in texts if text is not None)


def _number(numbers: dict[str, int], kind: str, name: str, package: str) -> int:
    if name not in numbers:
        raise ImportRefused(f"{package} has files of the {kind} {name!r}, which the tree does not have")
    return numbers[name]
