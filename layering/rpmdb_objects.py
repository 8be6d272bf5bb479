"""The files of an rpmdb as objects of a layered commit, in the place of those that the base has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.inodes import owner_and_mode, set_owner_and_mode  # noqa: E402
from layering.labels import Labels, with_label  # noqa: E402
from layering.rpmdb import LEFTOVERS  # noqa: E402
from layering.trees import join, lookup  # noqa: E402


@dataclass(frozen=True, slots=True)
class _File:
    """A file, what the base says of it, and its checksum as an object, which a thread computes.

    header: of the object, the checksum covers it as well.
    """

    path: Path
    info: Gio.FileInfo
    attributes: GLib.Variant
    header: bytes
    checksum: Future[str]


class RpmdbObjects:
    """The database's files on their way into a repository."""

    def __init__(self, repo: OSTree.Repo, directory: str, files: Iterable[_File], pool: ThreadPoolExecutor) -> None:
        self._repo = repo
        self._directory = directory
        self._files = list(files)
        self._pool = pool

    def put(self, tree: OSTree.MutableTree, labels: Labels) -> None:
        """Put them into the tree, with the mode, owner and attributes that the base has there, in the place of its own.

        Their labels are the policy's own, where there is a policy.
        """
        for name in self._directory.split("/"):
            tree = lookup(tree, name)
        for name in LEFTOVERS:
            tree.remove(name, True)
        for file in self._files:
            checksum, attributes = file.checksum, _labelled(file.attributes, file.path, self._directory, labels)
            if (header := _header(file.path, file.info, attributes)) != file.header:
                checksum = self._pool.submit(_checksum, header, file.path.open("rb"))
            self._repo.write_content_trusted(checksum.result(), *_content(file.path, file.info, attributes))
            tree.replace_file(file.path.name, checksum.result())


@contextmanager
def rpmdb_objects(
    repo: OSTree.Repo, base: str, directory: str, files: Iterable[Path], labels: Labels
) -> Iterator[RpmdbObjects]:
    """The files as objects. From now on their checksums are computed, while the caller does something else.

    The database is by far the largest file of a layer, and GLib's SHA-256 takes several times as long as OpenSSL's: so
    the checksums are computed here, and libostree told.

    Args:
        base: the commit that has a database in `directory`, relative to its root.
        labels: those that the tree will have, so far as is known now.
    """
    there = OSTree.MutableTree.new_from_commit(repo, base)
    for name in directory.split("/"):
        there = lookup(there, name)
    with ThreadPoolExecutor(1) as pool:
        found = []
        for path in files:
            info, attributes = _in_base(repo, lookup(there, path.name), path)
            header = _header(path, info, _labelled(attributes, path, directory, labels))
            found.append(_File(path, info, attributes, header, pool.submit(_checksum, header, path.open("rb"))))
        yield RpmdbObjects(repo, directory, found, pool)


def _in_base(repo: OSTree.Repo, there: object, path: Path) -> tuple[Gio.FileInfo, GLib.Variant]:
    """What the file is to be like: as the base has it, else root's and readable by all."""
    info, attributes, owner = Gio.FileInfo(), with_label(None, None), (0, 0, 0o100644)
    if isinstance(there, str):
        _, _, found, attributes = repo.load_file(there)
        owner = owner_and_mode(found)
    info.set_file_type(Gio.FileType.REGULAR)
    info.set_size(path.stat().st_size)
    return set_owner_and_mode(info, *owner), attributes


def _labelled(attributes: GLib.Variant, path: Path, directory: str, labels: Labels) -> GLib.Variant:
    if not labels.policy:
        return attributes
    return with_label(attributes, labels.label(join(directory, path.name), 0o100644))


def _content(path: Path, info: Gio.FileInfo, attributes: GLib.Variant) -> tuple[Gio.InputStream, int]:
    """The object as a stream, header and all, and its length."""
    opened = Gio.File.new_for_path(str(path)).read()
    _, stream, length = OSTree.raw_file_to_content_stream(opened, info, attributes)
    return stream, length


def _header(path: Path, info: Gio.FileInfo, attributes: GLib.Variant) -> bytes:
    stream, length = _content(path, info, attributes)
    try:
        return bytes(stream.read_bytes(length - info.get_size()).get_data())
    finally:
        stream.close()


def _checksum(header: bytes, file: BufferedReader) -> str:
    """Of an object: its header and content. The file is opened by the caller: librpm enters other roots meanwhile, and
    takes all threads along."""
    digest = hashlib.sha256(header)
    with file:
        hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
