"""Reading a commit: single paths, through the links that lie on the way, and its metadata; nothing is checked out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

LINKS_AT_MOST = 40
"""As the kernel, path_resolution(7)."""

CHUNK = 1 << 20
"""Bytes read or written at a time."""


def find_path(repo: OSTree.Repo, commit: str, path: str) -> OSTree.RepoFile | None:
    """What the path (relative to the root) leads to in the commit, None for nothing or a circle of links.

    Raises:
        GLib.Error: the commit, or a directory on the way, is missing or damaged.
    """
    return find_below(root_of(repo, commit), path)


def find_below(root: OSTree.RepoFile, path: str) -> OSTree.RepoFile | None:
    """As `find_path`, in a tree that need not be committed yet."""
    here = root
    todo = deque(path.split("/"))
    links = 0
    while todo:
        name = todo.popleft()
        if name in {"", "."}:
            continue
        if name == "..":
            here = here.get_parent() or root
            continue
        _check(here)
        child = here.get_child(name)
        info = file_info(child)
        if info is None:
            return None
        if info.get_file_type() != Gio.FileType.SYMBOLIC_LINK:
            here = child
            continue
        target = str(info.get_symlink_target())
        links += 1
        if links > LINKS_AT_MOST:
            return None
        if target.startswith("/"):
            here = root
        todo.extendleft(reversed(target.split("/")))
    return here


def root_of(repo: OSTree.Repo, commit: str) -> OSTree.RepoFile:
    """The root directory of a commit. Checked before it is read: libostree crashes on a damaged object.

    Raises:
        GLib.Error: the commit or the directory is missing or damaged.
    """
    repo.fsck_object(OSTree.ObjectType.COMMIT, commit)
    _, variant, _ = repo.load_commit(commit)
    contents, metadata = (bytes(variant.get_child_value(index).unpack()).hex() for index in (6, 7))
    repo.fsck_object(OSTree.ObjectType.DIR_TREE, contents)
    repo.fsck_object(OSTree.ObjectType.DIR_META, metadata)
    _, root, _ = repo.read_commit(commit)
    return root


def is_whole(repo: OSTree.Repo, commit: str) -> bool:
    """Whether the commit is in the repository, with all of its tree so far as libostree knows."""
    try:
        _, _, state = repo.load_commit(commit)
    except GLib.Error:
        return False
    return not state & OSTree.RepoCommitState.PARTIAL


@contextmanager
def coming(repo: OSTree.Repo, commit: str) -> Iterator[None]:
    """Around the end of the transaction in which a commit was written: until then it is marked as partial.

    libostree moves a transaction's objects into the repository one by one. Cut off in the middle of that, a commit
    that lacks some of its tree would be taken for a whole one.
    """
    path = Path(repo.get_path().get_path()) / "objects" / commit[:2] / f"{commit[2:]}.commit"
    if path.exists() and is_whole(repo, commit):
        yield
        return
    repo.mark_commit_partial(commit, True)
    try:
        yield
    except BaseException:
        if not path.exists():
            with suppress(GLib.Error):
                repo.mark_commit_partial(commit, False)
        raise
    repo.mark_commit_partial(commit, False)


def text_in(metadata: GLib.Variant, key: str) -> str | None:
    """A text in the metadata of a commit, None where there is none by that key."""
    value = metadata.lookup_value(key, GLib.VariantType("s"))
    return None if value is None else str(value.get_string())


def _check(directory: OSTree.RepoFile) -> None:
    repo = directory.get_repo()
    for kind, checksum in (
        (OSTree.ObjectType.DIR_TREE, directory.tree_get_contents_checksum()),
        (OSTree.ObjectType.DIR_META, directory.tree_get_metadata_checksum()),
    ):
        if checksum is not None:  # else it is a file
            repo.fsck_object(kind, checksum)


def read_text(repo: OSTree.Repo, commit: str, path: str) -> str | None:
    """The text of a small file in the commit, None where there is no such file."""
    data = read_bytes(repo, commit, path)
    return None if data is None else data.decode(errors="replace")


def read_bytes(repo: OSTree.Repo, commit: str, path: str) -> bytes | None:
    """The content of a small file in the commit, None where there is no such file."""
    return bytes_below(root_of(repo, commit), path)


def bytes_below(root: OSTree.RepoFile, path: str) -> bytes | None:
    """As `read_bytes`, in a tree that need not be committed yet."""
    file = find_below(root, path)
    info = file_info(file) if file is not None else None
    if file is None or info is None or info.get_file_type() != Gio.FileType.REGULAR:
        return None
    _, content, _, _ = root.get_repo().load_file(file.get_checksum())
    chunks = []
    while chunk := content.read_bytes(CHUNK).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def file_info(file: Gio.File) -> Gio.FileInfo | None:
    """Type, name and link target of a file in a commit, None where it is not there."""
    try:
        return file.query_info("standard::*", Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS, None)
    except GLib.Error as error:
        if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND) or error.matches(
            Gio.io_error_quark(), Gio.IOErrorEnum.NOT_DIRECTORY
        ):
            return None
        raise


def copy_content(content: Gio.InputStream, target: BinaryIO) -> None:
    """Write all that a stream of libostree's yields to a file; what lies in a file of its own, the kernel copies."""
    if hasattr(content, "get_fd"):  # Gio.UnixInputStream, of GioUnix in later versions of GLib
        while os.sendfile(target.fileno(), content.get_fd(), None, CHUNK):
            pass
        return
    while chunk := content.read_bytes(CHUNK).get_data():
        target.write(chunk)
