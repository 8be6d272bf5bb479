"""The files of an rpmdb as objects of a layered commit, in the place of those that the base has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.labels import Labels, with_label  # noqa: E402
from layering.trees import join, lookup  # noqa: E402


def replace_rpmdb(
    repo: OSTree.Repo, tree: OSTree.MutableTree, directory: str, files: Iterable[Path], labels: Labels
) -> None:
    """Put the database's files where the base has them, with the mode, owner and attributes they have there.

    Their labels are the policy's own, where there is a policy.
    """
    for name in directory.split("/"):
        tree = lookup(tree, name)
    for path in files:
        uid, gid, mode, attributes = 0, 0, 0o100644, None
        there = lookup(tree, path.name)
        if isinstance(there, str):
            _, _, info, attributes = repo.load_file(there)
            uid, gid, mode = (info.get_attribute_uint32(f"unix::{key}") for key in ("uid", "gid", "mode"))
        if labels.policy:
            attributes = with_label(attributes, labels.label(join(directory, path.name), mode))
        tree.replace_file(path.name, _write_file(repo, path, uid=uid, gid=gid, mode=mode, attributes=attributes))


def _write_file(
    repo: OSTree.Repo, path: Path, *, uid: int, gid: int, mode: int, attributes: GLib.Variant | None
) -> str:
    """A file of our own into the repository. The database is by far the largest file of a layer, and GLib's SHA-256
    takes several times as long as OpenSSL's: the object's checksum is computed here, and libostree told."""
    info = Gio.FileInfo()
    info.set_file_type(Gio.FileType.REGULAR)
    size = path.stat().st_size
    info.set_size(size)
    for key, value in (("uid", uid), ("gid", gid), ("mode", mode)):
        info.set_attribute_uint32(f"unix::{key}", value)

    def content() -> tuple[Gio.InputStream, int]:
        opened = Gio.File.new_for_path(str(path)).read()
        _, stream, length = OSTree.raw_file_to_content_stream(opened, info, attributes or with_label(None, None))
        return stream, length

    stream, length = content()
    digest = hashlib.sha256(stream.read_bytes(length - size).get_data())
    stream.close()
    with path.open("rb") as file:
        hashlib.file_digest(file, lambda: digest)
    repo.write_content_trusted(digest.hexdigest(), *content())
    return digest.hexdigest()
