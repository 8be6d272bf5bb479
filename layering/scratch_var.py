"""The /var that scripts write to: empty but for the packages' own directories, gone afterwards, and no host's.

What they make there is treated as what packages bring there: directories and links become lines of tmpfiles.d(5), all
else is left out with a note. No script runs while it is read or written here, but links are theirs and never followed.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from journal.printable import printable
from layering.accounts import Accounts
from layering.tmpfiles import Line, directories_of, paths_of

FRAGMENT = "layer-scripts.conf"
"""The fragment of tmpfiles.d: read before those of the packages, whose directories a script may have changed."""

_FRAGMENTS = "usr/lib/tmpfiles.d"
# What every running system has there. Not all that its fragments make: hundreds, of which a script uses next to none.
_DIRECTORIES = (
    *("cache", "cache/ldconfig", "home", "lib", "lib/alternatives", "lib/rpm-state", "log", "mnt", "opt", "roothome"),
    *("spool", "srv", "tmp", "usrlocal", "usrlocal/bin"),
)
_LINKS = {"run": "../run", "lock": "../run/lock"}
_OURS = ("/var/tmp", "/var/lib/rpm-state")  # noqa: S108 - the sandbox's own
_CACHES = "/var/cache"  # whatever is there can be made again: hier(7)
_ADMINISTRATORS = "/var/usrlocal"  # where an image's /usr/local leads
_NAMED = 3


@dataclass
class ScratchVar:
    """A directory that stands in for /var while the scripts of one layer run.

    notes: what was left out of the layer, known with `conclude`.
    """

    path: Path
    notes: list[str] = field(default_factory=list)
    _laid: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _makers: dict[str, str] = field(default_factory=dict)

    def prepare(self, root: Path, packages: Path, accounts: Accounts) -> None:
        """Make what is missing of it for the tree at `root`, `packages` being what the layer brings to that.

        Directories that no script has touched are given their owners anew: users may have been made since.
        """
        if not self.path.exists():
            self._start(root)
        lines: dict[str, Line] = {}
        for fragment in _fragments(packages).values():
            for line in directories_of(fragment):
                lines.setdefault(line.path, line)
        for path, line in sorted(lines.items()):
            if path.startswith("/var/") and posixpath.normpath(path) == path and "\0" not in path:
                self._lay(path, line.mode, accounts.users.get(line.user, 0), accounts.groups.get(line.group, 0))

    def attribute(self, script: str) -> None:
        """Say of what is new that it was this script's."""
        for path, _ in self._entries():
            self._makers.setdefault(path, script)

    def conclude(self, root: Path, accounts: Accounts) -> None:
        """Write what is to become of it into the tree at `root`: the fragment, where there is something for it.

        A path that another fragment of the tree speaks of is that one's affair.
        """
        changed = [each for each in self._entries() if _facts(each[1]) != self._laid.get(each[0])]
        others = _fragments(root) if changed else {}
        others.pop(FRAGMENT, None)
        spoken_of = {path for fragment in others.values() for path in paths_of(fragment)} - self._laid.keys()
        left_out: defaultdict[str, list[str]] = defaultdict(list)
        lines = []
        for path, info in changed:
            if path in spoken_of:
                continue
            line = None if _below(path, _ADMINISTRATORS) else _line(self.path, path, info, accounts)
            if line:
                lines.append(line)
            elif not _below(path, _CACHES):
                left_out[self._makers.get(path, "a script")].append(path)
        _write_fragment(root, lines)
        self.notes = [_note(script, paths) for script, paths in left_out.items()]

    def _start(self, root: Path) -> None:
        self.path.mkdir(mode=0o755)
        self.path.chmod(0o755)
        for name, target in _LINKS.items():
            (self.path / name).symlink_to(target)
        for name in _DIRECTORIES:
            self._lay(f"/var/{name}", 0o755, 0, 0)
        if (root / "usr/lib/alternatives").is_dir():
            # Where an image keeps what alternatives(8) looks for there.
            (self.path / "lib/alternatives").rmdir()
            (self.path / "lib/alternatives").symlink_to("../../usr/lib/alternatives")

    def _lay(self, path: str, mode: int, uid: int, gid: int) -> None:
        """Make the directory and those above it; give it mode and owner unless a script has, or has put something else
        in the way.
        """
        here, at = str(self.path), "/var"
        for part in path.split("/")[2:]:
            here, at = f"{here}/{part}", f"{at}/{part}"
            try:
                info = os.lstat(here)
            except FileNotFoundError:
                Path(here).mkdir()
                info = self._own(here, at, 0o755, 0, 0)
            if not stat.S_ISDIR(info.st_mode):
                return
        if _facts(info) == self._laid.get(path):
            self._own(here, path, mode, uid, gid)

    def _own(self, place: str, path: str, mode: int, uid: int, gid: int) -> os.stat_result:
        info = os.lstat(place)
        wanted = (stat.S_IFDIR | mode, uid, gid)
        if _facts(info) != wanted:
            os.chown(place, uid, gid)
            Path(place).chmod(mode)
            info = os.lstat(place)
        self._laid[path] = wanted
        return info

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """All that is there but for what is the sandbox's own, each directory before what is in it."""
        pending = [(self.path, "/var")]
        while pending:
            directory, parent = pending.pop()
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                path = f"{parent}/{entry.name}"
                if path in _OURS or (entry.is_symlink() and _is_our_link(path)):
                    continue
                yield path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append((Path(entry.path), path))


def _is_our_link(path: str) -> bool:
    return path.removeprefix("/var/") in {*_LINKS, "lib/alternatives"}


def _facts(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_mode, info.st_uid, info.st_gid


def _below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _line(var: Path, path: str, info: os.stat_result, accounts: Accounts) -> Line | None:
    """What tmpfiles.d says of a directory or a link; None for all else, and for names that are not UTF-8."""
    if stat.S_ISDIR(info.st_mode):
        user, group = _name(accounts.users, info.st_uid), _name(accounts.groups, info.st_gid)
        line = Line(path, "d", stat.S_IMODE(info.st_mode), user, group)
    elif stat.S_ISLNK(info.st_mode):
        line = Line(path, "L", target=os.fspath((var / path.removeprefix("/var/")).readlink()))
    else:
        return None
    try:
        line.render().encode()
    except UnicodeEncodeError:
        return None
    return line


def _name(numbers: dict[str, int], number: int) -> str:
    """Whose number it is: a name where the tree has one, so that the host's own say counts."""
    return next((name for name, each in numbers.items() if each == number), str(number))


def _note(script: str, paths: list[str]) -> str:
    named = ", ".join(printable(path) for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    are, they_are = ("is", "it is") if len(paths) == 1 else ("are", "they are")
    return f"{script}: {named}{more} {are} left out: {they_are} not part of an OSTree image"


def _fragments(root: Path) -> dict[str, str]:
    """The tree's fragments of tmpfiles.d by name, in the order in which they are read."""
    directory = _directory(root)
    if directory is None:
        return {}
    found = (entry for entry in os.scandir(directory) if entry.name.endswith(".conf"))
    files = sorted((entry.name, entry.path) for entry in found if entry.is_file(follow_symlinks=False))
    return {name: Path(path).read_text(errors="surrogateescape") for name, path in files}


def _directory(root: Path) -> Path | None:
    """Where the tree has its fragments; None where it has not, or a link is in the way, which could lead out of it."""
    here = root
    for part in _FRAGMENTS.split("/"):
        here /= part
        if here.is_symlink() or not here.is_dir():
            return None
    return here


def _write_fragment(root: Path, lines: list[Line]) -> None:
    path = root / _FRAGMENTS / FRAGMENT
    if lines and not (root / _FRAGMENTS).exists():
        path.parent.mkdir()
        path.parent.chmod(0o755)
    if _directory(root) is None:
        return
    path.unlink(missing_ok=True)
    if lines:
        path.write_text("".join(f"{line.render()}\n" for line in sorted(lines)))
        path.chmod(0o644)
