"""Where a path leads in a tree that is put together, through the links that lie on the way: path_resolution(7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from journal.printable import printable  # noqa: E402
from layering.commit_tree import LINKS_AT_MOST  # noqa: E402
from layering.errors import ImportRefused  # noqa: E402
from layering.objects import link_target  # noqa: E402
from layering.paths import OUTSIDE  # noqa: E402
from layering.trees import join, lookup  # noqa: E402


class FileInTheWay(Exception):
    """A path leads through a file that is no link. path: of the file, relative to the root."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class PathResolution:
    """Resolves paths in the tree below `root`. make: makes a directory that is missing, in a tree and at a path.

    aliases: paths that lead elsewhere as if they were links: where an image has its /etc.
    """

    def __init__(
        self,
        repo: OSTree.Repo,
        root: OSTree.MutableTree,
        make: Callable[[OSTree.MutableTree, str], OSTree.MutableTree],
    ) -> None:
        self._repo = repo
        self._root = root
        self._make = make
        usr = lookup(root, "usr")
        has_usr_etc = isinstance(usr, OSTree.MutableTree) and lookup(usr, "etc") is not None
        # A commit that has /etc alone is deployed as if it were /usr/etc, one that has both is not.
        only_etc = lookup(root, "etc") is not None and not has_usr_etc
        self.aliases = {"usr/etc": "/etc"} if only_etc else {"etc": "/usr/etc"}

    def resolve(self, path: str, start: str, package: str) -> tuple[OSTree.MutableTree, str]:
        """The directory that a path leads to from `start`, a real directory, and its real path; made where missing.

        package: the NEVRA that an error names.

        Raises:
            ImportRefused: it leads in a circle, or out of the image.
            FileInTheWay: something on the way is neither a directory nor a link.
        """
        stack = [(self._root, "")]
        for name in filter(None, start.split("/")):
            stack.append((lookup(stack[-1][0], name), join(stack[-1][1], name)))
        todo = deque(path.split("/"))
        links = 0
        while todo:
            name = todo.popleft()
            tree, real = stack[-1]
            here = join(real, name)
            if name in {"", "."}:
                continue
            if name == "..":
                stack.pop()
                if not stack:
                    raise ImportRefused(f"{package}: a link leads /{printable(join(start, path))} out of the image")
                continue
            there = lookup(tree, name)
            if here not in self.aliases and not isinstance(there, str):
                stack.append((there or self._make(tree, here), here))
                continue
            target = self.aliases.get(here) or self._link_target(str(there), here)
            links += 1
            if links > LINKS_AT_MOST:
                raise ImportRefused(f"{package}: links lead /{printable(join(start, path))} in a circle")
            if target.startswith("/"):
                stack = [(self._root, "")]
            todo.extendleft(reversed(target.split("/")))
        tree, real = stack[-1]
        if any(f"{real}/".startswith(f"{outside}/") for outside in OUTSIDE):
            led = f"a link leads /{printable(join(start, path))} to /{printable(real)}"
            raise ImportRefused(f"{package}: {led}, which is not part of the image")
        return tree, real

    def _link_target(self, checksum: str, path: str) -> str:
        target = link_target(self._repo, checksum)
        if target is None:
            raise FileInTheWay(path)
        return target
