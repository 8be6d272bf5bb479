"""The Merkle tree of RFC 6962 section 2.1 (unchanged in RFC 9162), over nodes that are stored once complete.

A node (level, index) covers the leaves [index << level, (index + 1) << level). Only complete nodes are ever stored;
the ragged right edge is computed from them in O(log n). Proofs are made from stored nodes, and are checked without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

Fetch = Callable[[int, int], bytes]
"""Gives the stored hash of the complete node (level, index)."""

EMPTY_ROOT = sha256(b"").digest()
HASH_SIZE = 32


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(records: Sequence[bytes]) -> list[bytes]:
    """As `leaf_hash` of each. A copy of a hash that has begun is made faster than a new one."""
    hashes, begun = [], sha256(b"\x00")
    for record in records:
        hashed = begun.copy()
        hashed.update(record)
        hashes.append(hashed.digest())
    return hashes


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def parents(hashes: Sequence[bytes]) -> list[bytes]:
    """Hashes of the complete nodes one level above these; a last one without a sibling has none yet."""
    pairs = zip(hashes[::2], hashes[1::2], strict=False)
    return [sha256(b"\x01" + left + right).digest() for left, right in pairs]  # in one go: a call each would show


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
    return _subtree(0, size, fetch)


def inclusion_proof(index: int, size: int, fetch: Fetch) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1: from the sibling of the leaf at `index` up to the root's child.

    index: zero-based, below size.
    """
    first, path = 0, []
    while size > 1:
        left = _left(size)
        if index < left:
            path.append(_subtree(first + left, size - left, fetch))
            size = left
        else:
            path.append(_subtree(first, left, fetch))
            first, index, size = first + left, index - left, size - left
    return path[::-1]


def consistency_proof(old: int, new: int, fetch: Fetch) -> list[bytes]:
    """PROOF of RFC 6962 section 2.1.2: that the tree of `new` leaves begins with the one of `old`. 0 < old <= new."""
    first, whole, path = 0, True, []
    while old != new:
        left = _left(new)
        if old <= left:
            path.append(_subtree(first + left, new - left, fetch))
            new = left
        else:
            path.append(_subtree(first, left, fetch))
            first, old, new, whole = first + left, old - left, new - left, False
    if not whole:
        path.append(_subtree(first, old, fetch))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf with this hash is at `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, *proof):
        return False
    position, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            digest = node_hash(sibling, digest)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and digest == root


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the new tree begins with the old one (RFC 9162 section 2.1.4.2).

    An empty old tree proves nothing, and is refused.
    """
    if not 0 < old <= new or not _are_hashes(*proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof) if old & (old - 1) else [old_root, *proof]  # a complete old tree is a node of the new one
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_digest = new_digest = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_digest, new_digest = node_hash(sibling, old_digest), node_hash(sibling, new_digest)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_digest = node_hash(new_digest, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and old_digest == old_root and new_digest == new_root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)


def _left(size: int) -> int:
    """Leaves in the left subtree: the largest power of two below size."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(first: int, size: int, fetch: Fetch) -> bytes:
    """Root over the leaves [first, first + size), where `first` is where such a subtree of the tree begins."""
    root: bytes | None = None
    end = first + size
    for level in range(size.bit_length()):
        if size >> level & 1:
            peak = fetch(level, (end >> level) - 1)
            end -= 1 << level
            root = peak if root is None else node_hash(peak, root)
    return EMPTY_ROOT if root is None else root
