"""What a layered commit is but for the rpmdb: by it a layer that another engine builds again is recognised."""

from __future__ import annotations

import hashlib

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.rpmdb import rpmdb_directory  # noqa: E402


def content_of(repo: OSTree.Repo, commit: str) -> str:
    """SHA-256, hex, of a commit's whole tree without what is in the directory of the rpmdb.

    Hashed is what libostree's directory objects say: names and checksums of files, of directories and of their modes,
    owners and attributes; on the way down to the rpmdb all but the next directory's content.

    Raises:
        BaseError: the commit has no rpmdb.
    """
    _, root, _ = repo.read_commit(commit)
    digest = hashlib.sha256(root.tree_get_metadata_checksum().encode())
    checksum = root.tree_get_contents_checksum()
    for name in rpmdb_directory(repo, commit).split("/"):
        _, directory = repo.load_variant(OSTree.ObjectType.DIR_TREE, checksum)
        files, directories = directory.unpack()
        for entry, content in files:
            digest.update(b"\0file\0" + entry.encode() + b"\0" + bytes(content))
        for entry, content, metadata in directories:
            digest.update(b"\0directory\0" + entry.encode() + b"\0" + bytes(metadata))
            if entry == name:
                checksum = bytes(content).hex()
            else:
                digest.update(bytes(content))
    return digest.hexdigest()
