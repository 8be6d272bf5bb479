"""One demand on its way to a resolution: which packages are candidates under each policy, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property

import hawkey

from journal.values import Package, Request
from layering import dnf_specs
from layering.dnf_download import Downloads, sha256_of
from layering.dnf_goal import Answer, Question, Unsolvable, hidden, solve
from layering.dnf_universe import DnfUniverse
from layering.errors import BaseWouldChange, PackagesNotFound, RepositoryError, ResolveError
from layering.nevra import is_nevra
from layering.resolver import Demand, Resolution


class FilelistsNeeded(Exception):
    """There is no answer as long as only paths in bin and etc are known."""


class Resolving:
    """One demand on its way to a resolution. Candidates: what is cached, and once loaded, what repositories have."""

    def __init__(self, universe: DnfUniverse, downloads: Downloads, demand: Demand, provided: dict[str, str]) -> None:
        self._universe = universe
        self._sack = universe.sack
        self._downloads = downloads
        self._demand = demand
        self._provided = provided
        self._notes: list[str] = []
        self._requests = [each for each in demand.requests if each.spec not in provided]
        self._known = {(each.nevra, each.sha256): each for each in (*demand.cached, *demand.kept)}
        cached = {(each.nevra, each.sha256): universe.add_cached(path) for each, path in demand.cached.items()}
        self._cached = {key: package for key, package in cached.items() if str(package) not in self._base_nevras}
        wanted_files = {(each.spec, each.sha256) for each in self._requests if each.sha256}
        self._local = [package for key, package in self._cached.items() if key in wanted_files]
        kept = [(each.nevra, each.sha256) for each in demand.kept]
        self._kept = {key: self._cached[key] for key in kept if key in self._cached}
        self._lacking = [each for each in demand.kept if (each.nevra, each.sha256) not in cached]

    def resolution(self) -> Resolution:
        """The resolution.

        Raises:
            FilelistsNeeded: it may be had once all paths are known. And what `Resolver.resolve` raises.
        """
        if lost := [each.spec for each in self._requests if each.sha256 and not self._has_file(each)]:
            raise ResolveError(f"Local packages are no longer in the package cache: {', '.join(lost)}")
        if not self._requests and self._demand.policy != "keep":
            return Resolution(provided_by_base=self._provided)
        # Whatever else was ever cached in this universe is none of this demand's business.
        own = {*self._cached.values()}
        strangers = [each for each in self._of_commandline() if each not in own]
        with self._unseen(strangers):
            answer = self._answer()
        added = list(answer.added)
        if strange := [each for each in added if not is_nevra(str(each))]:
            names = ", ".join(repr(str(each)) for each in strange)
            raise RepositoryError(f"{strange[0].reponame} has packages that are called as none can be: {names}")
        return Resolution(
            packages=tuple(sorted((self._describe(each) for each in added), key=lambda each: each.nevra)),
            provided_by_base=self._provided,
            required_by=dnf_specs.required_by(added, self._sack, self._installed),
            notes=(*self._universe.notes, *self._notes),
        )

    def _answer(self) -> Answer:
        if self._demand.policy in ("keep", "offline"):
            self._find_lacking()
        if self._demand.policy == "offline":
            return self._offline()
        if self._demand.policy == "keep" and (answer := self._without_repositories()):
            return answer
        self._universe.load_repositories()
        if self._demand.policy == "upgrade":
            return self._upgrade()
        # A package that was made anew under the same NEVRA is no candidate beside the one that is layered.
        with self._unseen(self._twins([*self._kept.values(), *self._local])):
            kept = list(self._kept.values())
            weak = dnf_specs.pulled_weakly(self._sack, kept, self._installed)
            return self._solve(kept if self._demand.policy == "keep" else [], weak)

    def _offline(self) -> Answer:
        with self._alone([*self._kept.values(), *self._local]):
            return self._solve()

    def _without_repositories(self) -> Answer | None:
        """The answer where nothing is lacking that repositories might have."""
        if any(hawkey.is_glob_pattern(each.spec) for each in self._requests):
            return None
        own = [*self._kept.values(), *self._local]
        with self._alone(own):
            choices = {each.spec: self._choices(each) for each in self._requests if not each.sha256}
            if not all(choices.values()):
                return None
            question = Question(self._any_of(choices), locked=own)
            try:
                answer = solve(self._sack, question, self._universe.installed)
            except Unsolvable:
                return None
            kept = {*self._kept.values()}
            new = [each for each in answer.added if each not in kept]
            if any(not self._sack.query().filter(provides=wish) for each in new for wish in each.recommends):
                return None
            return answer

    def _upgrade(self) -> Answer:
        """The newest; where that can't be, as much of it as can. Nothing goes back while there is another way."""
        rivals = {each: self._rivals(each) for each in self._kept.values() if each not in {*self._local}}
        same = [each for each, found in rivals.items() if any(other.evr_cmp(each) == 0 for other in found)]
        older = [other for each, found in rivals.items() for other in found if other.evr_cmp(each) < 0]
        newer = {each: [other for other in found if other.evr_cmp(each) > 0] for each, found in rivals.items()}
        newer = {each: found for each, found in newer.items() if found}
        with self._unseen([*self._twins(self._local), *same]):
            for unseen, wished in ([*older, *newer], ()), (older, newer.values()), ((), newer.values()):
                try:
                    with self._unseen(unseen):
                        answer = self._solve(wished=list(wished))
                    break
                except (ResolveError, PackagesNotFound) as error:
                    failure = error
            else:
                raise failure
        chosen = {str(each) for each in answer.added}
        for package, found in sorted(newer.items()):
            if str(package) in chosen:
                self._notes.append(f"{package} stays: {max(found)} can't be installed.")
        return answer

    def _rivals(self, package: hawkey.Package) -> list[hawkey.Package]:
        """What repositories have under the same name and architecture, if several do, those of the best priority."""
        query = self._sack.query().available().filter(reponame__neq=hawkey.CMDLINE_REPO_NAME)
        found = query.filter(name=package.name, arch=package.arch).run()
        best = min((each.repo.priority for each in found), default=0)
        return [each for each in found if each.repo.priority == best]

    def _solve(
        self,
        kept: Sequence[hawkey.Package] = (),
        weak: Sequence[hawkey.Package] = (),
        wished: Sequence[Sequence[hawkey.Package]] = (),
    ) -> Answer:
        """The answer to all requests from what is to be seen now, with the base locked.

        kept: what must stay. weak: what no recommendation is to bring. wished: of each of these one, if it can be, and
        if anything needs it.

        Raises:
            PackagesNotFound, BaseWouldChange, ResolveError: there is none.
        """
        choices = {each.spec: self._choices(each) for each in self._requests if not each.sha256}
        missing = [spec for spec, found in choices.items() if not found]
        if any(spec.startswith(("/", "*/")) for spec in missing):
            self._want_filelists()
        if missing:
            raise PackagesNotFound(f"Packages not found: {', '.join(missing)}", hint=self._universe.shortcomings)
        question = Question(self._any_of(choices), locked=[*kept, *self._local], wished=wished, not_weakly=weak)
        try:
            answer = solve(self._sack, question, self._universe.installed)
        except Unsolvable as unsolvable:
            self._want_filelists()
            raise self._explanation(question, unsolvable, bool(kept)) from None
        if not wished:
            return answer
        with self._alone(answer.added):
            return self._solve(kept, weak)

    def _explanation(self, question: Question, unsolvable: Unsolvable, is_keeping: bool) -> ResolveError:
        """Whether it is the layered packages or the base that are in the way, or neither."""
        text = "Dependencies can't be met: " + "\n  - ".join(["", *unsolvable.problems]).removeprefix("\n  - ")
        freely = replace(question, locked=self._local, wished=())
        if is_keeping and self._is_solvable(freely):
            return ResolveError(
                f"{text}\nIt takes other versions of packages that are layered already.",
                hint="`layer upgrade` moves them.",
            )
        try:
            answer = solve(self._sack, freely, [])
        except Unsolvable:
            return ResolveError(text)
        lines = []
        if gone := {*answer.removed} - {old for old, _ in answer.replaced}:
            lines.append(f"Base packages would be removed: {', '.join(map(str, sorted(gone)))}")
        if answer.replaced:
            pairs = (f"{old} -> {new}" for old, new in answer.replaced)
            lines.append(f"Base packages would be replaced: {', '.join(pairs)}")
        return BaseWouldChange("\n".join([*lines, *unsolvable.problems])) if lines else ResolveError(text)

    def _want_filelists(self) -> None:
        if self._universe.loaded and not self._universe.filelists:
            raise FilelistsNeeded

    def _is_solvable(self, question: Question) -> bool:
        try:
            solve(self._sack, question, self._universe.installed)
        except Unsolvable:
            return False
        return True

    def _find_lacking(self) -> None:
        """Layered packages whose header is not cached are looked for in the repositories."""
        gone = []
        for package in self._lacking:
            if package.nevra in self._base_nevras:
                continue
            if source := self._downloads.find(package):
                self._kept[package.nevra, package.sha256] = source
            else:
                gone.append(package.nevra)
        if gone:
            raise ResolveError(
                f"Layered packages are neither in the package cache nor in any repository: {', '.join(gone)}",
                hint="`layer upgrade` takes what the repositories have now.",
            )

    def _choices(self, request: Request) -> list[list[hawkey.Package]]:
        return dnf_specs.candidates(self._sack, request.spec, self._base_names)

    def _any_of(self, choices: dict[str, list[list[hawkey.Package]]]) -> list[list[hawkey.Package]]:
        return [choice for found in choices.values() for choice in found]

    def _twins(self, packages: Iterable[hawkey.Package]) -> list[hawkey.Package]:
        """What has the NEVRA of one of these and is another one."""
        own = {str(each): each for each in packages}
        names = sorted({each.name for each in own.values()})
        found = self._sack.query().available().filter(name=names) if names else []
        # hawkey's packages are equal where their NEVRAs are; their hash tells them apart.
        return [each for each in found if str(each) in own and hash(own[str(each)]) != hash(each)]

    def _unseen(self, packages: Iterable[hawkey.Package]) -> AbstractContextManager[None]:
        return hidden(self._sack, packages)

    def _alone(self, packages: Iterable[hawkey.Package]) -> AbstractContextManager[None]:
        """Meanwhile these are the only candidates."""
        own = {*packages}
        return self._unseen([each for each in self._sack.query().available() if each not in own])

    def _of_commandline(self) -> list[hawkey.Package]:
        query = self._sack.query(flags=hawkey.IGNORE_EXCLUDES)
        return list(query.filter(reponame=hawkey.CMDLINE_REPO_NAME).run())

    def _has_file(self, request: Request) -> bool:
        return (request.spec, request.sha256) in self._cached

    def _describe(self, package: hawkey.Package) -> Package:
        """The package as the demand has it, if it is among the cached, else as its repository has it."""
        nevra = str(package)
        for key, cached in self._cached.items():
            # Without a sha256 in the metadata, the same build of the same NEVRA is the same.
            if key[0] == nevra and (hash(cached) == hash(package) or _is_same(cached, key[1], package)):
                return self._known[key]
        sha256 = sha256_of(package)
        return self._known.get((nevra, sha256)) or Package(nevra, sha256, package.reponame)

    @cached_property
    def _installed(self) -> hawkey.Query:
        return self._sack.query().installed().apply()

    @cached_property
    def _base_nevras(self) -> frozenset[str]:
        return frozenset(map(str, self._universe.installed))

    @cached_property
    def _base_names(self) -> frozenset[str]:
        return frozenset(each.name for each in self._universe.installed)


def _is_same(cached: hawkey.Package, sha256: str | None, package: hawkey.Package) -> bool:
    found = sha256_of(package)
    return found == sha256 if found else bool(cached.buildtime == package.buildtime)
