"""The Merkle tree of RFC 6962 section 2.1 (unchanged in RFC 9162), over nodes that are stored once complete.

A node (level, index) covers the leaves [index << level, (index + 1) << level). Only complete nodes are ever stored;
the ragged right edge is computed from them in O(log n).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

Fetch = Callable[[int, int], bytes]
"""Gives the stored hash of the complete node (level, index)."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def completed_by(index: int, leaf: bytes, fetch: Fetch) -> Iterator[tuple[int, int, bytes]]:
    """The nodes (level, index, hash) that become complete when the leaf at `index` is appended, the leaf first."""
    level, digest = 0, leaf
    yield level, index, digest
    while index & 1:
        digest = node_hash(fetch(level, index - 1), digest)
        level, index = level + 1, index >> 1
        yield level, index, digest


def root_hash(size: int, fetch: Fetch) -> bytes:
    """Root of the tree of the first `size` leaves."""
    root: bytes | None = None
    for level in range(size.bit_length()):
        if size >> level & 1:
            peak = fetch(level, (size >> level) - 1)
            root = peak if root is None else node_hash(peak, root)
    return EMPTY_ROOT if root is None else root
