"""What OSTree's objects say of files and directories beside their content: owner, mode, and how one is written."""

from __future__ import annotations

import socket

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

_FACTS = ("uid", "gid", "mode")


def owner_and_mode(info: Gio.FileInfo) -> tuple[int, int, int]:
    """uid, gid and mode, the bits of its type among them, of a file in a repository."""
    uid, gid, mode = (info.get_attribute_uint32(f"unix::{fact}") for fact in _FACTS)
    return uid, gid, mode


def directory_owner_and_mode(metadata: GLib.Variant) -> tuple[int, int, int]:
    """The same of a directory. metadata: its DIR_META object, whose numbers are in network byte order."""
    uid, gid, mode = (socket.ntohl(metadata.get_child_value(index).get_uint32()) for index in range(len(_FACTS)))
    return uid, gid, mode


def set_owner_and_mode(info: Gio.FileInfo, uid: int, gid: int, mode: int) -> Gio.FileInfo:
    """The file, with this owner and mode. mode: with the bits of its type."""
    for fact, value in zip(_FACTS, (uid, gid, mode), strict=True):
        info.set_attribute_uint32(f"unix::{fact}", value)
    return info


def directory_metadata(uid: int, gid: int, mode: int, attributes: GLib.Variant | None) -> GLib.Variant:
    """A directory's DIR_META object, to be written. mode: with the bits of its type."""
    info = set_owner_and_mode(Gio.FileInfo(), uid, gid, mode)
    info.set_file_type(Gio.FileType.DIRECTORY)
    return OSTree.create_directory_metadata(info, attributes)


def write_directory(repo: OSTree.Repo, metadata: GLib.Variant) -> str:
    """Write a directory's DIR_META object, inside a transaction of the caller's; returns its checksum."""
    _, checksum = repo.write_metadata(OSTree.ObjectType.DIR_META, None, metadata)
    return bytes(checksum).hex()


def write_file(repo: OSTree.Repo, content: Gio.InputStream | None, info: Gio.FileInfo, attributes: GLib.Variant) -> str:
    """Write a file's object, or that of a link, inside a transaction of the caller's; returns its checksum."""
    if info.get_file_type() == Gio.FileType.SYMBOLIC_LINK:
        uid, gid, _ = owner_and_mode(info)
        return str(repo.write_symlink(None, uid, gid, attributes, info.get_symlink_target()))
    _, stream, length = OSTree.raw_file_to_content_stream(content, info, attributes)
    _, written = repo.write_content(None, stream, length)
    return bytes(written).hex()
