"""The layer key: the hash of everything that a layered commit is a function of, known before anything is laid."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
from collections.abc import Iterable

import msgspec
import rpm

from journal.values import Package

FORMAT = 6
"""Of our layers: what else than librpm and SQLite decides on their bytes. Counted up when that changes."""

SCRIPTS = "scripts"
"""The option that says what becomes of scripts: run (the default, not written down), refuse or skip."""


class Engine(msgspec.Struct, frozen=True):
    """What makes layers: our format, librpm's and SQLite's versions."""

    format: int
    librpm: str
    sqlite: str


class LayerInputs(msgspec.Struct, frozen=True):
    """Everything that a layered commit is a function of.

    base: commit checksum. packages: NEVRA and SHA-256 of the RPM. policy: checksum of the base's SELinux policy, None
    for none; what packages make of it follows from them.
    """

    base: str
    packages: tuple[tuple[str, str], ...]
    engine: Engine
    policy: str | None = None
    options: dict[str, str] = {}


def layer_inputs(
    base: str, packages: Iterable[Package], policy: str | None = None, options: dict[str, str] | None = None
) -> LayerInputs:
    """The inputs of a layer of these packages, made by this engine. Every package's checksum has to be known."""
    pairs = sorted((package.nevra, package.sha256 or "") for package in packages)
    return LayerInputs(base, tuple(pairs), this_engine(), policy, dict(options or {}))


def canonical_inputs(inputs: LayerInputs) -> str:
    """The inputs as JSON: keys and packages sorted, no spaces."""
    plain = msgspec.to_builtins(inputs)
    plain["packages"] = sorted(plain["packages"])
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def layer_key(inputs: LayerInputs) -> str:
    """The SHA-256, hex, of the inputs as canonical JSON. Pure."""
    return hashlib.sha256(canonical_inputs(inputs).encode()).hexdigest()


@functools.cache
def this_engine() -> Engine:
    """The engine of this process; SQLite's version is that of the library that librpm is linked with."""
    try:
        library = ctypes.CDLL("libsqlite3.so.0")
        library.sqlite3_libversion.restype = ctypes.c_char_p
        sqlite = library.sqlite3_libversion().decode()
    except OSError:
        sqlite = "none"
    return Engine(FORMAT, rpm.__version__, sqlite)
