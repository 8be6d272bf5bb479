"""The layered commit (stub: signatures are final)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from gi.repository import OSTree

from layering.pkgcache import CachedPackage


class Engine(msgspec.Struct, frozen=True):
    format: int
    librpm: str
    sqlite: str


class LayerInputs(msgspec.Struct, frozen=True):
    base: str
    packages: tuple[tuple[str, str], ...]
    policy: str | None = None
    options: dict[str, str] = {}
    engine: Engine | None = None


class Composed(msgspec.Struct, frozen=True):
    commit: str
    key: str
    notes: tuple[str, ...] = ()
    reused: bool = False


class BaseFacts(msgspec.Struct, frozen=True):
    commit: str
    version: str | None
    timestamp: int
    os_release: dict[str, str]


def this_engine() -> Engine: raise NotImplementedError
def layer_key(inputs: LayerInputs) -> str: raise NotImplementedError
def find_layer(repo: OSTree.Repo, key: str) -> Composed | None: raise NotImplementedError
def base_facts(repo: OSTree.Repo, commit: str) -> BaseFacts: raise NotImplementedError
def compose(repo: OSTree.Repo, inputs: LayerInputs, packages: Sequence[CachedPackage], scratch: Path) -> Composed: raise NotImplementedError
