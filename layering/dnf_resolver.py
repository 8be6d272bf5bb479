"""`Resolver` through dnf 4: libsolv by way of hawkey, repositories and downloads by way of librepo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from journal.values import Package, Request
from layering import dnf_specs
from layering.dnf_download import Downloads, sha256_of
from layering.dnf_resolving import FilelistsNeeded, Resolving
from layering.dnf_universe import DnfUniverse, host_architecture
from layering.progress import Progress, Silent
from layering.resolver import Demand, Located, Match, RepositoryFacts, Resolution, Universe

__all__ = ["DnfResolver", "host_architecture"]


class DnfResolver:
    """Resolves and downloads packages in one universe, see `layering.resolver.Resolver`.

    progress: hears of metadata on its way.
    """

    def __init__(self, universe: Universe, progress: Progress | None = None) -> None:
        self._progress = progress or Silent()
        self._open(universe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._universe.close()

    def refresh(self) -> tuple[RepositoryFacts, ...]:
        self._universe.refresh()
        return self._universe.repositories()

    def search(self, text: str) -> tuple[Match, ...]:
        self._universe.load_repositories()
        return tuple(dnf_specs.matching(self._universe.sack, text))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._universe.notes)

    def provided_by_base(self, specs: Iterable[str]) -> dict[str, str]:
        found = {spec: dnf_specs.provider_in_base(self._universe.sack, spec) for spec in specs}
        return {spec: nevra for spec, nevra in found.items() if nevra}

    def resolve(self, demand: Demand) -> Resolution:
        try:
            return self._resolve(demand)
        except FilelistsNeeded:
            universe = self._universe.universe
            self.close()
            # libsolv knows paths as capabilities only if they are there before the first question.
            self._open(universe, filelists=True)
            return self._resolve(demand)

    def locate(self, packages: Sequence[Package]) -> Located:
        sources = {package: self._downloads.find(package) for package in packages}
        found = tuple(
            Package(package.nevra, package.sha256 or sha256_of(source), source.reponame, package.signed_by)
            for package, source in sources.items()
            if source is not None
        )
        return Located(found, tuple(package for package, source in sources.items() if source is None))

    def download(self, packages: Sequence[Package], progress: Progress) -> dict[Package, Path]:
        return self._downloads.fetch(packages, progress)

    def _open(self, universe: Universe, *, filelists: bool = False) -> None:
        self._universe = DnfUniverse(universe, self._progress, filelists=filelists)
        self._downloads = Downloads(self._universe)

    def _resolve(self, demand: Demand) -> Resolution:
        return Resolving(self._universe, self._downloads, demand, self._absorbed(demand.requests)).resolution()

    def _absorbed(self, requests: Iterable[Request]) -> dict[str, str]:
        """A local RPM is met by a package of its name that is as new."""
        provided = {}
        for request in requests:
            if request.sha256:
                nevra = dnf_specs.newer_in_base(self._universe.sack, request.spec)
            else:
                nevra = dnf_specs.provider_in_base(self._universe.sack, request.spec)
            if nevra:
                provided[request.spec] = nevra
        return provided
