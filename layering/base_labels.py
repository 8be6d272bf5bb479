"""The base's own files under a policy that packages changed: those that its changed contexts name get their new labels.

As fixfiles(8) does it with `-C`: the rest of the base is not looked at, whatever its size.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.file_contexts import FileContexts, Pattern, changed_patterns  # noqa: E402
from layering.inodes import owner_and_mode  # noqa: E402
from layering.labels import Labels, path_in_policy, relabelled  # noqa: E402
from layering.trees import join, relabelled_metadata  # noqa: E402


def relabel_base(repo: OSTree.Repo, tree: OSTree.MutableTree, before: Labels, after: Labels) -> int:
    """Give a tree's paths the labels of `after` where `before` gave others, inside a transaction of the caller's.

    Returns how many of them had another one.
    """
    if before.policy is None or after.policy is None or before.checksum == after.checksum:
        return 0
    patterns = changed_patterns(before.policy.files, after.policy.files)
    return _Walk(repo, before, after, FileContexts(after.policy.files)).directory(tree, "", patterns)


@dataclass(frozen=True)
class _Walk:
    repo: OSTree.Repo
    before: Labels
    after: Labels
    contexts: FileContexts

    def directory(self, tree: OSTree.MutableTree, real: str, patterns: Sequence[Pattern]) -> int:
        """How much changed in the tree's directory `real`. patterns: all that may name something in it."""
        count = 0
        for name, checksum in tree.get_files().items():
            path = join(real, name)
            if self._named(path, patterns):
                _, _, mode = owner_and_mode(self.repo.load_file(checksum)[2])
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
        seen = self.contexts.seen_as(path_in_policy(path))
        return any(pattern.may_match(each) for pattern in patterns for each in seen)

    def _below(self, path: str, patterns: Sequence[Pattern]) -> Sequence[Pattern]:
        places = self.contexts.places(f"{path_in_policy(path)}/")
        if path == "usr":
            places.add("/etc/")  # which is usr/etc here
        return [pattern for pattern in patterns if any(map(pattern.may_match_below, places))]
