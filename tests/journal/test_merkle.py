"""The Merkle tree against RFC 6962's own definition and known constants."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
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


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*path(index, leaves[:k]), defined(leaves[k:])]
    return [*path(index - k, leaves[k:]), defined(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2, as it is written there."""
    n = len(leaves)
    if m == n:
        return [] if whole else [defined(leaves)]
    k = 1 << (n - 1).bit_length() - 1
    if m <= k:
        return [*subproof(m, leaves[:k], whole), defined(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), defined(leaves[:k])]


MANY = [str(number).encode() for number in range(70)]


@pytest.mark.parametrize("size", range(1, 71))
def test_proofs_are_those_of_the_definition_and_are_accepted(size: int) -> None:
    leaves = MANY[:size]
    nodes, root = grown(leaves), defined(leaves)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, lambda lv, ix: nodes[lv, ix])
        assert proof == path(index, leaves)
        assert merkle.is_included(merkle.leaf_hash(leaves[index]), index, size, proof, root)
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(old, size, lambda lv, ix: nodes[lv, ix])
        assert proof == subproof(old, leaves)
        assert merkle.is_consistent(old, defined(leaves[:old]), size, root, proof)


# Each proof's length depends on the sizes, so that only one pair of them fits it: whatever is changed is refused.


@settings(max_examples=60)
@given(st.data())
def test_an_inclusion_proof_with_anything_changed_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    leaves = [str(number).encode() for number in range(size)]
    nodes, root = grown(leaves), defined(leaves)
    proof = merkle.inclusion_proof(index, size, lambda lv, ix: nodes[lv, ix])
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.is_included(leaf, index, size, proof, root)
    other = data.draw(st.integers(0, size - 1))
    assert merkle.is_included(leaf, other, size, proof, root) == (other == index)
    for changed in changes(data, proof):
        assert not merkle.is_included(leaf, index, size, changed, root)
    assert not merkle.is_included(flipped(data, leaf), index, size, proof, root)
    assert not merkle.is_included(leaf, index, size, proof, flipped(data, root))
    assert not merkle.is_included(leaf, size, size, proof, root)
    assert not merkle.is_included(leaf, -1, size, proof, root)


@settings(max_examples=60)
@given(st.data())
def test_a_consistency_proof_with_anything_changed_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 600))
    old = data.draw(st.integers(1, size - 1))
    leaves = [str(number).encode() for number in range(size)]
    nodes, old_root, root = grown(leaves), defined(leaves[:old]), defined(leaves)
    proof = merkle.consistency_proof(old, size, lambda lv, ix: nodes[lv, ix])
    assert merkle.is_consistent(old, old_root, size, root, proof)
    for changed in changes(data, proof):
        assert not merkle.is_consistent(old, old_root, size, root, changed)
    assert not merkle.is_consistent(old, flipped(data, old_root), size, root, proof)
    assert not merkle.is_consistent(old, old_root, size, flipped(data, root), proof)
    assert not merkle.is_consistent(size, root, old, old_root, proof)
    assert not merkle.is_consistent(0, merkle.EMPTY_ROOT, size, root, [])


def flipped(data: st.DataObject, value: bytes) -> bytes:
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    return (int.from_bytes(value) ^ 1 << bit).to_bytes(len(value))


def changes(data: st.DataObject, proof: list[bytes]) -> list[list[bytes]]:
    more = data.draw(st.binary(min_size=32, max_size=32))
    changed = [[*proof, more], [more, *proof], [*proof, b""]]
    if proof:
        number = data.draw(st.integers(0, len(proof) - 1))
        changed += [proof[1:], proof[:-1]]
        changed += [[*proof[:number], flipped(data, proof[number]), *proof[number + 1 :]]]
    return changed


VECTORS = Path(__file__).parents[3] / "shared/vectors/merkle"
with_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/vectors, public test vectors, is not here")


def vectors(kind: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((VECTORS / kind).rglob("*.json"))]


@with_vectors
def test_public_vectors_of_inclusion() -> None:
    cases = vectors("inclusion")
    assert len(cases) >= 98
    for case in cases:
        proof = [b64decode(each) for each in case["proof"] or ()]
        leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])
        accepted = merkle.is_included(leaf, case["leafIdx"], case["treeSize"], proof, root)
        assert accepted != case["wantErr"], case["desc"]


@with_vectors
def test_public_vectors_of_consistency() -> None:
    cases = vectors("consistency")
    assert len(cases) >= 98
    for case in cases:
        proof = [b64decode(each) for each in case["proof"] or ()]
        roots = b64decode(case["root1"]), b64decode(case["root2"])
        accepted = merkle.is_consistent(case["size1"], roots[0], case["size2"], roots[1], proof)
        assert accepted != case["wantErr"], case["desc"]
