"""The Merkle tree against RFC 6962's own definition and known constants."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal import merkle

# The eight leaves that RFC 6962's reference implementation (certificate-transparency) and the Go one test with,
# and the roots of the trees of the first n of them.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grown(leaves: list[bytes]) -> dict[tuple[int, int], bytes]:
    nodes: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves):
        hashed = merkle.leaf_hash(leaf)
        for level, position, digest in merkle.completed_by(index, hashed, lambda lv, ix: nodes[lv, ix]):
            assert (level, position) not in nodes
            nodes[level, position] = digest
    return nodes


def defined(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + defined(leaves[:k]) + defined(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_implementation(size: int) -> None:
    nodes = grown(LEAVES)
    assert merkle.root_hash(size, lambda level, index: nodes[level, index]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.root_hash(0, lambda level, index: b"").hex() == hashlib.sha256(b"").hexdigest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_stored_nodes_give_the_root_that_the_definition_gives(leaves: list[bytes]) -> None:
    nodes = grown(leaves)
    for size in range(len(leaves) + 1):
        assert merkle.root_hash(size, lambda lv, ix: nodes[lv, ix]) == defined(leaves[:size])
