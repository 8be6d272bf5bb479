"""The package cache (stub: signatures are final)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import rpm
from gi.repository import OSTree

from journal.events import Package

@dataclass(frozen=True)
class CachedPackage:
    package: Package
    commit: str
    repo: OSTree.Repo = field(repr=False, compare=False)

    @property
    def prefix(self) -> bytes: raise NotImplementedError
    @property
    def header(self) -> rpm.hdr: raise NotImplementedError
    @property
    def notes(self) -> tuple[str, ...]: raise NotImplementedError


class PackageCache:
    def __init__(self, path: Path) -> None:
        self.path = path
    def find(self, package: Package) -> CachedPackage | None: raise NotImplementedError
    def import_rpm(self, path: Path, package_hint: Package) -> CachedPackage: raise NotImplementedError
    def packages(self) -> list[Package]: raise NotImplementedError
    def retain(self, keep: set[Package]) -> int: raise NotImplementedError
