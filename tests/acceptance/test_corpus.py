"""Every RPM of the corpus, imported: its commit is what rpm says of it, or it is refused for a listed reason.

The commits are read object by object: in a bare repository a file's object is the file. What they should be is rpm's
word. Where an OSTree image has a path elsewhere than rpm, these rules say so once more, in words of their own.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from journal.values import Package
from layering.errors import ImportRefused
from layering.pkgcache import CachedPackage
from layering.rpmfile import read_rpm
from tests.acceptance.corpus import (
    CORPUS,
    REFUSED,
    Packaged,
    PackagedFile,
    asked_of_rpm,
    entry_of,
    folders,
    laid_by_rpm,
    needs_corpus,
    rpms_in,
)
from tests.layering.bases import Ground, OSTree

pytestmark = needs_corpus

# Of an image's tree, nothing of these: made when the host boots.
AT_BOOT = {"var", "run", "tmp", "home", "root", "srv", "mnt", "media"}
DIGESTS = {32: "md5"}  # by their length in hex, else sha256 or its beginning


@pytest.mark.parametrize("folder", folders())
def test_each_package_is_imported_as_rpm_says_or_refused_for_a_known_reason(folder: str, tmp_path: Path) -> None:
    paths = [path for path in rpms_in(CORPUS / folder) if path.parent == CORPUS / folder]
    walk = Walk(Ground(tmp_path))
    wrong = {path: walk.refusal(path, REFUSED[entry]) for path in paths if (entry := entry_of(path))}
    accepted = asked_of_rpm([path for path in paths if path not in wrong])
    wrong |= {package.path: walk.differences(package) for package in accepted if package.fits}
    assert {path.name: found for path, found in wrong.items() if found} == {}
    walk.ground.fsck()


def test_what_rpm_is_asked_here_is_what_it_dumps() -> None:
    paths = [path for path in rpms_in() if entry_of(path) is None]
    command = ["rpm", "--query", "--package", "--nosignature", "--nodigest", "--dump", *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True)
    lines = [line for line in done.stdout.decode(errors="surrogateescape").splitlines() if line[0] == "/"]
    dumped = []
    for line in lines:
        path, size, _, digest, mode, user, group, _, _, _, target = line.rsplit(" ", 10)
        dumped.append((path, int(size), int(mode, 8), user, group, digest.strip("0") and digest, target))
    asked = [
        (file.path, file.size, file.mode, file.user, file.group, file.digest, file.target or "X")
        for package in asked_of_rpm(paths)
        for file in package.files
    ]
    assert asked == dumped


def test_each_entry_of_the_list_is_met_by_a_file() -> None:
    assert {entry_of(path) for path in rpms_in()} - {None} == set(REFUSED)


@dataclass(frozen=True, slots=True)
class Walk:
    """What the packages of a folder go through: a package cache, and a repository to lay them in."""

    ground: Ground

    def refusal(self, path: Path, reason: str) -> list[str]:
        """What is wrong with how the RPM is refused."""
        try:
            self.ground.cache.import_rpm(path, Package(read_rpm(path).nevra))
        except ImportRefused as error:
            return [] if reason in str(error) else [str(error)]
        return ["it is not refused"]

    def differences(self, package: Packaged) -> list[str]:
        """What of the package's commits is not as rpm says, a line each; nor, where that is known, as rpm laid it."""
        cached = self.ground.cache.import_rpm(package.path, Package(package.nevra))
        images = [image_of(files) for files in (package.files, laid_by_rpm().get(package.path)) if files is not None]
        found = self._in_cache(cached, images)
        return found + (self._grafted(cached, images) if images[0].of_others else [])

    def _in_cache(self, cached: CachedPackage, images: Iterable[Image]) -> list[str]:
        """The cached commit is root's, without setuid and setgid bits on what is not; that is kept beside it."""
        there = files_in(cached.repo, cached.commit)
        kept = cached.attributes
        owners = [(each.path, each.user, each.group, each.mode) for each in kept.owners]
        found = []
        for image in images:
            theirs = [(path, laid.user, laid.group, stat.S_IMODE(laid.mode)) for path, laid in image.of_others.items()]
            expected = {path: laid.in_cache() for path, laid in image.paths.items()}
            found += differences(expected, there)
            found += hardlinks_apart(image, there)
            found += unequal("owners", owners, theirs)
            found += unequal("tmpfiles", kept.tmpfiles, image.lines)
            found += unequal("notes", kept.notes, image.notes)
        return found

    def _grafted(self, cached: CachedPackage, images: Sequence[Image]) -> list[str]:
        """Laid on a base that knows their owners, files are theirs, with all the bits of their modes."""
        users, groups = ({name: n for n, name in enumerate(sorted(names), 2000)} for names in images[0].names)
        tree = self.ground.directory / "base"
        (tree / "usr/lib").mkdir(parents=True, exist_ok=True)
        (tree / "usr/lib/passwd").write_text("".join(f"{name}:x:{n}:{n}::/:/\n" for name, n in users.items()))
        (tree / "usr/lib/group").write_text("".join(f"{name}:x:{n}:\n" for name, n in groups.items()))
        commit = self.ground.grafted(self.ground.base(tree=tree), [cached])
        there = files_in(self.ground.repo, commit)
        not_the_packages = ["usr/lib/passwd", "usr/lib/group"]
        if cached.attributes.tmpfiles:
            not_the_packages.append(f"usr/lib/tmpfiles.d/pkg-{cached.nevra.rsplit('-', 2)[0]}.conf")
        found = []
        for image in images:
            expected = {
                path: laid.owned({"root": 0, **users}, {"root": 0, **groups}) for path, laid in image.paths.items()
            }
            expected |= {path: laid_at(there[path], 64) for path in not_the_packages}
            found += [*differences(expected, there), *hardlinks_apart(image, there)]
        return found


# What an image should have of a package


@dataclass(frozen=True, slots=True)
class Laid:
    """A path of an image. mode: with the type; content: hex digest of a file, target of a link; size: of a file."""

    mode: int
    user: str | int
    group: str | int
    content: str = ""
    size: int = 0
    capabilities: bytes = b""

    @property
    def is_of_others(self) -> bool:
        return (self.user, self.group) != ("root", "root")

    def in_cache(self) -> Laid:
        mode = self.mode & ~(stat.S_ISUID | stat.S_ISGID) if self.is_of_others else self.mode
        return replace(self, mode=mode, user=0, group=0)

    def owned(self, users: Mapping[str, int], groups: Mapping[str, int]) -> Laid:
        """With numbers for names."""
        return replace(self, user=users[str(self.user)], group=groups[str(self.group)])


@dataclass(frozen=True, slots=True)
class Image:
    """What becomes of a package: paths in the image, lines for systemd-tmpfiles, and what is left out.

    linked: which paths are one file.
    """

    paths: dict[str, Laid] = field(default_factory=dict)
    lines: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    linked: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def of_others(self) -> dict[str, Laid]:
        """What is not root's."""
        return {path: laid for path, laid in self.paths.items() if laid.is_of_others}

    @property
    def names(self) -> tuple[set[str], set[str]]:
        """Users and groups that own it, but for root."""
        users, groups = ({str(getattr(laid, key)) for laid in self.paths.values()} for key in ("user", "group"))
        return users - {"root"}, groups - {"root"}


def image_of(files: Iterable[PackagedFile]) -> Image:
    """What an image has of these: ghosts are not laid, what is not part of an image is told or left to tmpfiles.d."""
    image = Image()
    for file in files:
        if not file.ghost:
            _lay(image, file)
    return image


def _lay(image: Image, file: PackagedFile) -> None:
    _, top, *below = file.path.split("/")
    if top in AT_BOOT:
        _leave_out(image, file)
        return
    place = file.path[1:]
    if top == "etc":
        place = f"usr/{place}"
    elif top == "opt":
        # /opt leads into /var: what belongs there lies below /usr, and links to it are made at boot. No link of these
        # packages leads out of /opt.
        place = f"usr/lib/{place}"
        image.lines.add(f"L /opt/{below[0]} - - - - ../../usr/lib/opt/{below[0]}")
    content = file.target if file.is_link else file.digest
    size = file.size if stat.S_ISREG(file.mode) else 0
    mode = stat.S_IFLNK | 0o777 if file.is_link else file.mode  # for Linux all links are alike, whatever a header says
    image.paths[place] = Laid(mode, file.user, file.group, content, size, file.capabilities)
    if file.linked is not None:
        image.linked[file.linked].add(place)


def _leave_out(image: Image, file: PackagedFile) -> None:
    """/var, /run and the like are made when the host boots: their directories and links; files can't be made."""
    path = re.sub("^/var/run/", "/run/", file.path)
    if path.count("/") == 1:
        return  # the host has it
    if file.is_directory:
        image.lines.add(f"d {path} {stat.S_IMODE(file.mode):04o} {file.user} {file.group} - -")
    elif file.is_link:
        image.lines.add(f"L {path} - - - - {file.target}")
    else:
        image.notes.append(f"{file.path} is left out: it is not part of an OSTree image")


# What a commit has


def files_in(repo: OSTree.Repo, commit: str) -> dict[str, Path | Laid]:
    """All paths of a commit: of a file, the object that it is; directories are objects of another kind."""
    objects = Path(repo.get_path().get_path()) / "objects"
    found: dict[str, Path | Laid] = {}

    def read(contents: str, prefix: str) -> None:
        files, directories = repo.load_variant(OSTree.ObjectType.DIR_TREE, contents)[1].unpack()
        for name, checksum in files:
            text = bytes(checksum).hex()
            found[prefix + name] = objects / text[:2] / f"{text[2:]}.file"
        for name, checksum, metadata in directories:
            found[prefix + name] = directory(bytes(metadata).hex())
            read(bytes(checksum).hex(), f"{prefix}{name}/")

    @cache
    def directory(metadata: str) -> Laid:
        numbers = repo.load_variant(OSTree.ObjectType.DIR_META, metadata)[1].unpack()
        assert numbers[3] == []
        user, group, mode = map(socket.ntohl, numbers[:3])
        return Laid(mode, user, group)

    contents = repo.load_variant(OSTree.ObjectType.COMMIT, commit)[1].get_child_value(6)
    read(bytes(contents.get_data_as_bytes().get_data()).hex(), "")
    return found


def laid_at(path: Path | Laid, length: int) -> Laid:
    """What is there; length: of the hex digest that is expected of a file, which may be the beginning of one."""
    if isinstance(path, Laid):
        return path
    info = path.lstat()
    content, size = "", 0
    if stat.S_ISREG(info.st_mode):
        algorithm = DIGESTS.get(length, "sha256")
        content = hashlib.new(algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()[:length]
        size = info.st_size
    elif stat.S_ISLNK(info.st_mode):
        content = str(path.readlink())
    names = os.listxattr(path, follow_symlinks=False)
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    capabilities = attributes.pop("security.capability", b"")
    assert not attributes, path
    return Laid(info.st_mode, info.st_uid, info.st_gid, content, size, capabilities)


def differences(expected: Mapping[str, Laid], there: Mapping[str, Path | Laid]) -> list[str]:
    """Each path that is not what it should be; the directories that others lead through are root's and 0755."""
    wanted = {path: Laid(stat.S_IFDIR | 0o755, 0, 0) for path in led_through(expected)} | dict(expected)
    missing = [f"{path} is missing" for path in wanted.keys() - there.keys()]
    beyond = [f"{path} is not the package's" for path in there.keys() - wanted.keys()]
    found = {path: laid_at(there[path], len(wanted[path].content)) for path in wanted.keys() & there.keys()}
    others = [f"{path}: {laid} instead of {wanted[path]}" for path, laid in found.items() if laid != wanted[path]]
    return sorted([*missing, *beyond, *others])


def led_through(paths: Iterable[str]) -> set[str]:
    """The directories above these."""
    found: set[str] = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return found


def hardlinks_apart(image: Image, there: Mapping[str, Path | Laid]) -> list[str]:
    """Sets of hardlinks that are not one file."""
    sets = [(sorted(names), {there.get(name) for name in names}) for names in image.linked.values()]
    return [f"{names} are {len(found)} files" for names, found in sets if len(found) != 1]


def unequal(what: str, found: Iterable[object], expected: Iterable[object]) -> list[str]:
    """A line about two collections that are not the same, whatever their order."""
    one, other = sorted(map(str, found)), sorted(map(str, expected))
    return [] if one == other else [f"{what}: {one} instead of {other}"]
