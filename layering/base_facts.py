"""What a base commit says of itself: its version, its time and its os-release(5)."""

from __future__ import annotations

import gi
import msgspec

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.commit_tree import read_text, text_in  # noqa: E402
from layering.errors import BaseError  # noqa: E402

_OS_RELEASE = ("usr/lib/os-release", "usr/etc/os-release", "etc/os-release")


class BaseFacts(msgspec.Struct, frozen=True):
    """version: of the commit's metadata. timestamp: seconds since the epoch. os_release: its assignments."""

    version: str | None
    timestamp: int
    os_release: dict[str, str]

    @property
    def releasever(self) -> str:
        """os-release's VERSION_ID, empty if unknown."""
        return self.os_release.get("VERSION_ID", "")


def base_facts(repo: OSTree.Repo, commit: str) -> BaseFacts:
    """What the commit says of itself.

    Raises:
        BaseError: it is not in the repository.
    """
    try:
        _, variant, _ = repo.load_commit(commit)
    except GLib.Error as error:
        raise BaseError(f"Base commit {commit} is not in the repository: {error.message}") from error
    release = parse_os_release(_os_release(repo, commit) or "")
    return BaseFacts(commit_version(variant), int(OSTree.commit_get_timestamp(variant)), release)


def commit_version(commit: GLib.Variant) -> str | None:
    """The version in a commit's metadata."""
    return text_in(commit.get_child_value(0), "version") or None


def parse_os_release(text: str) -> dict[str, str]:
    """Assignments as in os-release(5): NAME=value, shell quotes taken off. Pure."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
            found[name] = value[1:-1].replace('\\"', '"').replace("\\$", "$") if quoted else value
    return found


def _os_release(repo: OSTree.Repo, commit: str) -> str | None:
    for path in _OS_RELEASE:
        try:
            text = read_text(repo, commit, path)
        except GLib.Error:
            continue  # a preview pulls no more than the rpmdb
        if text is not None:
            return text
    return None
