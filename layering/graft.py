"""Package trees onto a base's tree, by its objects: no file of the base is read, written or even looked at.

A directory that the base lacks is attached whole, by its checksum. Where both have it, entries are merged as librpm
would have laid them: through the base's directory links, the same content once, anything else a conflict. The result
does not depend on the order in which packages are named.
"""

from __future__ import annotations

import posixpath
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from journal.printable import printable  # noqa: E402
from layering.accounts import Accounts, accounts_of  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.errors import FileConflict  # noqa: E402
from layering.labels import UNLABELLED, Labels, path_in_policy, relabelled_for, with_label  # noqa: E402
from layering.objects import link_target, same_file  # noqa: E402
from layering.package_tree import PackageTree  # noqa: E402
from layering.path_resolution import FileInTheWay, PathResolution  # noqa: E402
from layering.payload import Owner  # noqa: E402
from layering.tmpfiles import below, top_of  # noqa: E402
from layering.trees import IMPLIED_MODE, join, lookup, metadata_checksum, relabelled_metadata  # noqa: E402
from projections.packages import name_arch  # noqa: E402

_FILE = OSTree.ObjectType.FILE
_TREE = OSTree.ObjectType.DIR_TREE
_META = OSTree.ObjectType.DIR_META
_PREFERRED_COLOUR = 2  # ELF64, rpm's %_prefer_color

BaseOwner = Callable[[str], tuple[str, int] | None]
"""Who owns an absolute path in the base: NEVRA and file colour."""


@dataclass(frozen=True, slots=True)
class Grafted:
    """The tree to commit, still in memory. notes: what was left out of it."""

    tree: OSTree.MutableTree
    notes: tuple[str, ...]


def graft(
    repo: OSTree.Repo,
    base: str,
    packages: Sequence[CachedPackage],
    base_owner: BaseOwner = lambda _: None,
    labels: Labels = UNLABELLED,
    *,
    accounts: Accounts | None = None,
    provisional: bool = False,
) -> Grafted:
    """Lay the packages onto the base commit's tree, inside a transaction of the caller's.

    The packages are labelled with `labels` by their own paths; what turns out to lie elsewhere is labelled for there.

    Args:
        accounts: the users and groups that the tree will know, where they are not the base's alone.
        provisional: leave what belongs to somebody unknown as it is in the cache, root's and without special bits:
            the tree is one that scripts make the users in.

    Raises:
        FileConflict: two owners want different things at one path; both are named.
        ImportRefused: a path leads out of the image, or an owner is not known in it.
        CacheBroken: a cached package is damaged.
    """
    ordered = sorted(packages, key=lambda package: package.nevra)
    return _Graft(repo, base, ordered, base_owner, labels, accounts=accounts, provisional=provisional).run()


class _Graft:
    def __init__(
        self,
        repo: OSTree.Repo,
        base: str,
        packages: Iterable[CachedPackage],
        base_owner: BaseOwner,
        labels: Labels,
        *,
        accounts: Accounts | None,
        provisional: bool,
    ) -> None:
        self.repo = repo
        self.labels = labels
        self.base = base
        self.base_owner = base_owner
        self.root = OSTree.MutableTree.new_from_commit(repo, base)
        self.layers = [PackageTree(repo, package) for package in packages]
        self._accounts = accounts
        self.provisional = provisional
        # Directories that the layer made: their metadata, and the package that owns them, if one does.
        self.made: dict[str, tuple[str, str | None]] = {}
        # Who laid files where: directory to packages and what of theirs is there.
        self.laid: defaultdict[str, list[tuple[PackageTree, str, dict[str, str]]]] = defaultdict(list)
        self.paths = PathResolution(repo, self.root, self._make)

    def run(self) -> Grafted:
        self._lay_links_first()
        for layer in self.layers:
            self._merge(layer, "", self.root, "")
        self._write_tmpfiles()
        notes = [f"{layer.package.nevra}: {note}" for layer in self.layers for note in layer.package.notes]
        return Grafted(self.root, tuple(notes))

    def _lay_links_first(self) -> None:
        """Links that other paths of the layer lead through come before those paths, whoever brings them."""
        directories = {path for layer in self.layers for path in layer.nodes}
        for layer in self.layers:
            for path in sorted(directories.intersection(layer.package.attributes.links)):
                parent, _, name = path.rpartition("/")
                tree, real = self._resolve(layer, parent)
                checksum = layer.nodes[parent].files[name]
                self._file(layer, path, checksum, tree, real)
                self.laid[real].append((layer, parent, {name: checksum}))

    def _merge(self, layer: PackageTree, path: str, tree: OSTree.MutableTree, real: str) -> None:
        """Lay the package's directory `path` into the tree's directory `real`."""
        node = layer.nodes[path]
        for name, checksum in sorted(node.files.items()):
            self._file(layer, join(path, name), checksum, tree, real)
        self.laid[real].append((layer, path, node.files))
        for name in node.directories:
            self._directory(layer, join(path, name), tree, real)

    def _directory(self, layer: PackageTree, path: str, tree: OSTree.MutableTree, real: str) -> None:
        name = path.rpartition("/")[2]
        here = join(real, name)
        there = None if here in self.paths.aliases else lookup(tree, name)
        as_it_is = path not in layer.rewritten and not self._lies_elsewhere(path, here)
        if there is None and as_it_is and here not in self.paths.aliases:
            self._attach(layer, path, tree, here)
            return
        if isinstance(there, str) and path not in layer.implied and self._laid_by(real, name):
            # Through a link of the base, yes; but two packages that own a path have to agree on what it is.
            raise self._conflict(layer, here, "a link in")
        if not isinstance(there, OSTree.MutableTree):
            there, here = self._resolve(layer, name, real)
        self._own_directory(layer, path, there, here)
        self._merge(layer, path, there, here)

    def _attach(self, layer: PackageTree, path: str, tree: OSTree.MutableTree, real: str) -> None:
        node = layer.nodes[path]
        _, made = tree.ensure_dir(real.rpartition("/")[2])
        made.fill_empty_from_dirtree(self.repo, node.contents, node.metadata)
        pending = [(path, real)]
        while pending:
            path, real = pending.pop()
            node = layer.nodes[path]
            layer.porter.bring(_TREE, node.contents)
            layer.porter.bring(_META, node.metadata)
            for checksum in node.files.values():
                layer.porter.bring(_FILE, checksum)
            self.made[real] = (node.metadata, None if path in layer.implied else layer.package.nevra)
            self.laid[real].append((layer, path, node.files))
            pending += [(join(path, name), join(real, name)) for name in node.directories]

    def _own_directory(self, layer: PackageTree, path: str, tree: OSTree.MutableTree, real: str) -> None:
        """A directory's mode and owner are those of the package that owns it; the base's stay as they are."""
        if real not in self.made or path in layer.implied:
            return
        if owner := self._owner_of(layer, path):
            label = self.labels.label(real, stat.S_IFDIR | owner.mode)
            metadata = metadata_checksum(self.repo, owner.mode, *self._numbers(layer, owner), label)
        else:
            metadata = layer.nodes[path].metadata
            layer.porter.bring(_META, metadata)
            if self._lies_elsewhere(path, real):
                metadata = relabelled_metadata(self.repo, metadata, self.labels, real)
        before, nevra = self.made[real]
        if nevra is not None and before != metadata:
            raise FileConflict(
                f"directory /{printable(real)} has one mode or owner in {nevra} and another in {layer.package.nevra}"
            )
        self.made[real] = (metadata, nevra or layer.package.nevra)
        tree.set_metadata_checksum(metadata)

    def _file(self, layer: PackageTree, path: str, checksum: str, tree: OSTree.MutableTree, real: str) -> None:
        name = path.rpartition("/")[2]
        if owner := self._owner_of(layer, path):
            checksum = layer.porter.own(checksum, *self._numbers(layer, owner), owner.mode)
        else:
            layer.porter.bring(_FILE, checksum)
        if self._lies_elsewhere(path, join(real, name)):
            checksum = relabelled_for(self.repo, checksum, self.labels, join(real, name))
        there = lookup(tree, name)
        if there is None:
            tree.replace_file(name, checksum)
        elif isinstance(there, OSTree.MutableTree):
            raise self._conflict(layer, join(real, name), "a directory in")
        elif there != checksum and not same_file(self.repo, there, checksum):
            self._settle(layer, path, checksum, tree, real)

    def _settle(self, layer: PackageTree, path: str, checksum: str, tree: OSTree.MutableTree, real: str) -> None:
        """Two files at one path: for rpm no conflict where one is 32-bit and the other 64-bit, which is preferred."""
        name = path.rpartition("/")[2]
        colours = (layer.colour(path), self._owner(real, name)[1])
        if not all(colours) or colours[0] == colours[1]:
            raise self._conflict(layer, join(real, name), "another file in")
        if colours[0] == _PREFERRED_COLOUR:
            tree.replace_file(name, checksum)

    def _resolve(self, layer: PackageTree, path: str, start: str = "") -> tuple[OSTree.MutableTree, str]:
        """The directory that a path of the package leads to from `start`, a real directory; made where it is missing.

        Raises:
            ImportRefused: it leads in a circle, or out of the image.
            FileConflict: a file is in the way.
        """
        try:
            return self.paths.resolve(path, start, layer.package.nevra)
        except FileInTheWay as file:
            raise self._conflict(layer, file.path, "a file in") from file

    def _make(self, tree: OSTree.MutableTree, real: str) -> OSTree.MutableTree:
        _, made = tree.ensure_dir(real.rpartition("/")[2])
        label = self.labels.label(real, stat.S_IFDIR | IMPLIED_MODE)
        metadata = metadata_checksum(self.repo, IMPLIED_MODE, label=label)
        made.set_metadata_checksum(metadata)
        self.made[real] = (metadata, None)
        return made

    def _write_tmpfiles(self) -> None:
        """One fragment for each package name: packages of two architectures share theirs."""
        fragments: defaultdict[str, set[str]] = defaultdict(set)
        by_name: dict[str, PackageTree] = {}
        for layer in self.layers:
            if layer.package.attributes.tmpfiles:
                name, _ = name_arch(layer.package.nevra)
                fragments[name].update(map(self._through_links, layer.package.attributes.tmpfiles))
                by_name[name] = layer
        for name, lines in sorted(fragments.items()):
            tree, real = self._resolve(by_name[name], "usr/lib/tmpfiles.d")
            data = "".join(f"{line}\n" for line in sorted(lines)).encode()
            mode = stat.S_IFREG | 0o644
            attributes = with_label(None, self.labels.label(join(real, f"pkg-{name}.conf"), mode))
            checksum = self.repo.write_regfile_inline(None, 0, 0, mode, attributes, data)
            there = lookup(tree, f"pkg-{name}.conf")
            taken = there is not None and there != checksum
            tree.replace_file(f"pkg-{name}-layer.conf" if taken else f"pkg-{name}.conf", checksum)

    def _through_links(self, line: str) -> str:
        """A line for tmpfiles.d about the place that its path leads to: /var/opt/x for /opt/x, where /opt is a link.

        On a fresh /var the link dangles until another fragment, of a later name perhaps, makes what it leads to; of
        what a line itself names, systemd-tmpfiles makes the directories that are missing.
        """
        top = top_of(line)
        there = lookup(self.root, top) if top else None
        target = link_target(self.repo, there) if isinstance(there, str) else None
        return below(line, posixpath.normpath(posixpath.join("/", target))) if target else line

    def _owner_of(self, layer: PackageTree, path: str) -> Owner | None:
        owner = layer.owners.get(path)
        if owner and self.provisional and not self._known().has(owner.user, owner.group):
            return None
        return owner

    def _lies_elsewhere(self, path: str, real: str) -> bool:
        """Whether a package's path, through a link, leads to where another label may be due."""
        return self.labels.policy is not None and path_in_policy(path) != path_in_policy(real)

    def _numbers(self, layer: PackageTree, owner: Owner) -> tuple[int, int]:
        nevra = layer.package.nevra
        return self._known().uid(owner.user, nevra), self._known().gid(owner.group, nevra)

    def _known(self) -> Accounts:
        if self._accounts is None:
            self._accounts = accounts_of(self.repo, self.base)
        return self._accounts

    def _owner(self, real: str, name: str) -> tuple[str, int]:
        """Who has the file that is in the way, and its colour."""
        if laid := self._laid_by(real, name):
            layer, path = laid
            return layer.package.nevra, layer.colour(join(path, name))
        host_path = f"/{join(real, name)}"
        if host_path.startswith("/usr/etc/"):
            host_path = host_path.removeprefix("/usr")
        return self.base_owner(host_path) or ("the base", 0)

    def _laid_by(self, real: str, name: str) -> tuple[PackageTree, str] | None:
        """Which package of the layer brought a file, and from which of its directories."""
        found = ((layer, path) for layer, path, files in self.laid[real] if name in files)
        return next(found, None)

    def _conflict(self, layer: PackageTree, real: str, what: str) -> FileConflict:
        parent, _, name = real.rpartition("/")
        owner, _ = self._owner(parent, name)
        if real in self.made:
            owner = self.made[real][1] or "another package"
        return FileConflict(f"/{printable(real)} of {layer.package.nevra} is {what} {owner}")
