"""Universes to resolve in: a real base's rpmdb, real repositories, and headers as the package cache has them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import rpm

from journal.values import Package, Request
from layering.dnf_resolver import DnfResolver
from layering.resolver import LOCAL, Demand, Resolution, Universe
from tests.acceptance import rpms
from tests.acceptance.bases import RPMDB, BaseTree
from tests.acceptance.repositories import Repository


@dataclass
class World:
    """A base and the repositories of its merge deployment. Resolvers made here are closed by the fixture."""

    directory: Path
    base: BaseTree
    repository: Repository
    opened: list[DnfResolver] = field(default_factory=list)

    @property
    def deployment(self) -> Path:
        return self.directory / "deployment"

    @property
    def cache_dir(self) -> Path:
        return self.directory / "cache"

    def configure(self, text: str, name: str = "test.repo") -> None:
        path = self.deployment / "etc/yum.repos.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def unplug(self) -> None:
        """Whoever looks for the repository now does so in vain."""
        shutil.rmtree(self.repository.directory)
        shutil.rmtree(self.cache_dir, ignore_errors=True)

    def resolver(self, *, cacheonly: bool = False, basearch: str = "x86_64") -> DnfResolver:
        root = self.directory / f"root{len(self.opened)}"
        shutil.copytree(self.base.compose() / RPMDB, root / RPMDB)
        universe = Universe(
            root=root,
            repos_dir=self.deployment / "etc/yum.repos.d",
            vars_dir=self.deployment / "etc/dnf/vars",
            etc_root=self.deployment,
            cache_dir=self.cache_dir,
            releasever="40",
            basearch=basearch,
            cacheonly=cacheonly,
        )
        self.opened.append(DnfResolver(universe))
        return self.opened[-1]

    def header(self, path: Path) -> Path:
        """The RPM without its payload."""
        target = self.directory / "headers" / f"{rpms.sha256(path)[:8]}-{path.name}"
        target.parent.mkdir(exist_ok=True)
        transaction = rpm.TransactionSet()
        transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES | rpm.RPMVSF_MASK_NODIGESTS)
        with path.open("rb") as file:
            transaction.hdrFromFdno(file.fileno())
            end = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        target.write_bytes(path.read_bytes()[:end])
        return target


def package(path: Path, repository: str = "test") -> Package:
    return Package(rpms.nevra(path), rpms.sha256(path), repository)


def requests(*specs: str) -> tuple[Request, ...]:
    return tuple(Request(spec) for spec in specs)


def local(path: Path) -> Request:
    return Request(rpms.nevra(path), rpms.sha256(path))


def demand(world: World, *asked: str | Path, kept: tuple[Path, ...] = (), policy: str = "keep") -> Demand:
    """A demand for specs and local RPMs, with these RPMs of the repository layered already and cached."""
    wanted = [Request(each) if isinstance(each, str) else local(each) for each in asked]
    cached = {package(path): world.header(path) for path in kept}
    cached |= {package(path, LOCAL): world.header(path) for path in asked if isinstance(path, Path)}
    return Demand(
        requests=tuple(wanted),
        kept=tuple(package(path) for path in kept),
        cached=cached,
        policy=policy,  # type: ignore[arg-type]
    )


def nevras(resolution: Resolution) -> list[str]:
    return [each.nevra for each in resolution.packages]


def downloads(resolution: Resolution, asked: Demand) -> list[str]:
    """What is not the very package that the demand has cached."""
    return [each.nevra for each in resolution.packages if each not in asked.cached]


def build(world: World, name: str, *args: str, **kwargs: object) -> Path:
    return world.repository.build(name, *args, **kwargs)


def resolve(world: World, *asked: str | Path, kept: tuple[Path, ...] = (), policy: str = "keep") -> list[str]:
    return nevras(world.resolver().resolve(demand(world, *asked, kept=kept, policy=policy)))
