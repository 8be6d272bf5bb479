"""The labels of a tree after its packages' scripts: where these touched the SELinux policy, it is another one now."""

from __future__ import annotations

import os
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.labels import Labels  # noqa: E402
from layering.policy import PLACES, policy_of_tree  # noqa: E402


def labels_after(repo: OSTree.Repo, tree: OSTree.MutableTree, upper: Path, labels: Labels) -> Labels:
    """The labels of the tree that an overlay's upper directory was laid into, inside a transaction of the caller's.

    labels: those of before, which hold where nothing was written below /etc/selinux.

    Raises:
        PolicyBroken: the scripts left a policy that can't be used.
        BaseError: the tree can't be read.
    """
    if not any(os.path.lexists(upper / place) for place in PLACES):
        return labels
    _, root = repo.write_mtree(tree)
    return Labels(policy_of_tree(root, "the layer, as scripts left it,"))
