"""The packages of a layer, brought into the package cache: local RPMs, and what the repositories have."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from journal.values import Package
from layering.cached_package import CachedPackage
from layering.decision import Decision
from layering.errors import RepositoryError, ScriptsRefused
from layering.labels import Labels
from layering.work import Work


def fetch(work: Work, decision: Decision) -> list[CachedPackage]:
    """All packages of the decision in the package cache, downloaded and imported where they are not.

    Raises:
        RepositoryError: some are not to be had as promised. ImportRefused: some can't be layered.
        ScriptsRefused: some carry scripts, which are to be refused.
    """
    found = {each: work.local.find(each) for each in decision.target.packages}
    for package, cached in found.items():
        if cached is None and (file := work.local.file(package)):
            work.progress.step(f"Importing {file.path.name}")
            found[package] = work.cache.import_rpm(file.path, package)
    missing = [each for each, cached in found.items() if cached is None]
    if missing:
        commit = decision.target.base_commit or ""
        files = work.resolver(work.repo, commit).download(missing, work.progress)
        work.progress.step("Importing packages", len(files))
        with closing(work.cache.import_rpms(files, Labels(work.policy(commit)))) as imported:
            for package, cached in imported:
                found[_same(missing, package)] = cached
                if files[package].is_relative_to(work.metadata_cache):
                    files[package].unlink()  # all of it is in the package cache now
                work.progress.advance(1)
    everything = [cached for cached in found.values() if cached]
    if work.scripts == "refuse":
        _refuse_scripts(everything)
    return everything


def _refuse_scripts(packages: Iterable[CachedPackage]) -> None:
    from layering.scripts import carried

    found = {each.nevra: names for each in packages if (names := carried(each.header))}
    if found:
        told = "; ".join(
            f"{nevra} carries scripts that would have to run: {', '.join(found[nevra])}" for nevra in found
        )
        raise ScriptsRefused(told)


def _same(packages: Iterable[Package], wanted: Package) -> Package:
    """The package of this NEVRA: its checksum may have become known, and its signature, with the download."""
    for package in packages:
        if package.nevra == wanted.nevra:
            return package
    raise RepositoryError(f"{wanted.nevra} was downloaded but not asked for")
