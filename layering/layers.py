"""From a goal to a layered commit: resolve, fetch, compose. Only objects are added; nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from journal.events import Package, Payload, Request
from journal.store import Journal
from layering import base, layered_commit, nevra, plan
from layering.errors import LayeringError, RepositoryError, ScriptsRefused
from layering.labels import Labels
from layering.local_rpms import LocalRpms
from layering.logs import log
from layering.objects import CacheBroken
from layering.pkgcache import CachedPackage, PackageCache
from layering.plan import Goal
from layering.policy import Policy, read_policy
from layering.progress import Progress
from layering.relabel import relabel
from layering.resolver import LOCAL, Demand, Resolver, Universe
from layering.rpmdb import checkout_rpmdb, installed
from layering.sysroot import Sysroot
from projections.host import HostState

if TYPE_CHECKING:
    from gi.repository import OSTree

SCRIPT_MODES = ("run", "refuse", "skip")
"""What can become of packages' scripts; the first is the default."""


class NotReproduced(LayeringError):
    """A layer was built again from what was recorded, and came out different."""

    id = "not-reproduced"


class Unavailable(LayeringError):
    """Parts of a recorded state are to be had nowhere."""

    id = "unavailable"


@dataclass(frozen=True)
class Decision:
    """Where the host should be, dependencies known.

    target: its layered commit is None until it is composed, or if there is nothing to layer. message: what to say
    where it comes out that nothing changes. etc_from: the deployment whose /etc to take on. layer: how the commit
    came about, for `LayerCommitted`. notes: what the administrator should hear of, one sentence each.
    """

    target: HostState
    message: str | None = None
    etc_from: str | None = None
    layer: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def changes(self, state: HostState) -> tuple[Payload, ...]:
        """The events that lead there from this state."""
        packages = plan.package_changes(state.packages, self.target.packages, nevra.compare)
        return plan.changes(state, self.target, packages, layer=self.layer)


@dataclass
class Work:
    """What a verb works with while its transaction is open.

    scratch: a directory that is gone afterwards. scripts: whether to run, refuse or skip those of packages.
    """

    sysroot: Sysroot
    state: HostState
    journal: Journal | None
    scratch: Path
    progress: Progress
    cacheonly: bool = False
    dry_run: bool = False
    scripts: str = "run"

    @property
    def repo(self) -> OSTree.Repo:
        """The sysroot's repository."""
        return self.sysroot.repo

    @cached_property
    def cache(self) -> PackageCache:
        """The package cache of the sysroot."""
        return PackageCache(self.sysroot.path / "ostree/repo/extensions/layer/pkgcache")

    @property
    def metadata_cache(self) -> Path:
        """Where repository metadata and downloads are kept: /var/cache/layer of the stateroot."""
        return self.sysroot.path / "ostree/deploy" / self.sysroot.osname / "var/cache/layer"

    @cached_property
    def local(self) -> LocalRpms:
        """The local RPMs of the host, and of this command."""
        return LocalRpms(self.sysroot, self.cache, dry_run=self.dry_run)

    def resolver(self, repo: OSTree.Repo, base_commit: str) -> Resolver:
        """The resolver that sees this base, and the repositories of the merge deployment."""
        if base_commit not in self._resolvers:
            # dnf is only loaded where something is to be resolved.
            from layering.dnf_resolver import DnfResolver, host_architecture

            deployment = self.sysroot.deployments[0].path
            facts = base.facts(repo, base_commit)
            self._resolvers[base_commit] = DnfResolver(
                Universe(
                    root=self._rpmdb(repo, base_commit),
                    repos_dir=deployment / "etc/yum.repos.d",
                    vars_dir=deployment / "etc/dnf/vars",
                    etc_root=deployment,
                    cache_dir=self.metadata_cache,
                    releasever=facts.releasever or base.facts(self.repo, self.state.commit or "").releasever,
                    basearch=host_architecture(),
                    cacheonly=self.cacheonly,
                ),
                self.progress,
            )
        return self._resolvers[base_commit]

    def close(self) -> None:
        """Let go of what the resolvers have open."""
        for resolver in self._resolvers.values():
            resolver.close()

    @cached_property
    def _resolvers(self) -> dict[str, Resolver]:
        return {}

    def resolve(self, goal: Goal, *, repo: OSTree.Repo | None = None, message: str | None = None) -> Decision:
        """The decision that meets this goal. repo: where the base is to be read, if not in the sysroot's repository.

        Raises:
            PackagesNotFound, ResolveError, RepositoryError: it can't be met.
        """
        packages: tuple[Package, ...] = ()
        provided: set[str] = set()
        notes: tuple[str, ...] = ()
        required_by: dict[str, tuple[str, ...]] = {}
        if goal.wanted:
            self.progress.step("Resolving dependencies")
            kept = self.state.packages if goal.kept is None else goal.kept
            resolution = self.resolver(repo or self.repo, goal.base_commit).resolve(
                Demand(
                    requests=goal.wanted,
                    kept=kept,
                    cached=self._headers([*kept, *_local(goal.wanted)]),
                    policy=goal.policy,
                )
            )
            packages = plan.as_recorded((each.package for each in resolution.packages), self.state.packages)
            provided, notes = set(resolution.provided_by_base), resolution.notes
            required_by = dict(resolution.required_by)
        target = HostState(
            refspec=goal.refspec,
            base_commit=goal.base_commit,
            version=goal.version,
            pinned_base=goal.pinned_base,
            requested=tuple(each for each in goal.wanted if each.spec not in provided),
            absorbed=tuple(each for each in goal.wanted if each.spec in provided),
            packages=packages,
            origin_extra=self.state.origin_extra,
            base_packages=self._base_packages(repo or self.repo, goal.base_commit),
            required_by=required_by,
        )
        if (goal.base_commit, packages) == (self.state.base_commit, self.state.packages):
            target = msgspec.structs.replace(
                target, layered_commit=self.state.layered_commit, layer_key=self.state.layer_key
            )
        return Decision(target, message, notes=notes)

    def fetch(self, decision: Decision) -> list[CachedPackage]:
        """All packages of the decision in the package cache, downloaded and imported where they are not.

        Raises:
            RepositoryError: some are not to be had as promised. ImportRefused: some can't be layered.
            ScriptsRefused: some carry scripts, which are to be refused.
        """
        found = {each: self.local.find(each) for each in decision.target.packages}
        for package, cached in found.items():
            if cached is None and (file := self.local.file(package)):
                self.progress.step(f"Importing {file.path.name}")
                found[package] = self.cache.import_rpm(file.path, package)
        missing = [each for each, cached in found.items() if cached is None]
        if missing:
            commit = decision.target.base_commit or ""
            files = self.resolver(self.repo, commit).download(missing, self.progress)
            self.progress.step("Importing packages", len(files))
            labels = Labels(self.policy(commit))
            for package, path in files.items():
                found[_same(missing, package)] = self.cache.import_rpm(path, package, labels)
                if path.is_relative_to(self.metadata_cache):
                    path.unlink()  # all of it is in the package cache now
                self.progress.advance(1)
        everything = [cached for cached in found.values() if cached]
        if self.scripts == "refuse":
            _refuse_scripts(everything)
        return everything

    def commit(self, decision: Decision) -> Decision:
        """The decision with its layered commit, found in the repository or composed.

        Raises:
            PolicyBroken: the tree has an SELinux policy that can't be used. Told even where nothing is to be labelled:
                libostree crashes when it deploys a tree whose configuration names no policy.
        """
        target = decision.target
        if target.commit and target.commit != self.state.commit:
            self.policy(target.commit)
        if target.packages and not target.layered_commit:
            decision = self._layered(decision)
        # Once it is known that they can be layered: what is refused leaves no ref behind.
        self.local.hold((*target.requested, *target.absorbed))
        return decision

    def _layered(self, decision: Decision) -> Decision:
        target = decision.target
        composed = self._found(target)
        if composed is None:
            target, composed = self._compose(decision)
        target = msgspec.structs.replace(target, layered_commit=composed.commit, layer_key=composed.key)
        log.debug("layered", commit=composed.commit, key=composed.key, reused=composed.reused)
        engine = msgspec.json.encode(layered_commit.this_engine()).decode()
        layer: dict[str, object] = {
            "reused": composed.reused,
            "notes": composed.notes,
            "engine": engine,
            "policy": composed.policy,
        }
        return replace(decision, target=target, layer=layer, notes=(*decision.notes, *composed.notes))

    def restore(self, target: HostState, message: str) -> Decision:
        """A state of the past, exactly: its commit as it is, or built again from what was recorded.

        Raises:
            Unavailable: something it takes is to be had nowhere; each part is named. NotReproduced: see there.
        """
        target = msgspec.structs.replace(target, origin_extra=self.state.origin_extra)
        decision = Decision(target, message)
        if self.dry_run or not target.commit or self.sysroot.has_commit(target.commit):
            return decision
        base.ensure(self.repo, target.refspec or "", target.base_commit or "", self.progress)
        if target.layered_commit is None:
            return decision
        missing = [each for each in target.packages if self.local.find(each) is None]
        if missing:
            located = self.resolver(self.repo, target.base_commit or "").locate(missing)
            if located.missing:
                raise Unavailable(
                    "Packages are neither in the cache nor in any repository: "
                    + ", ".join(f"{each.nevra} (sha256 {each.sha256})" for each in located.missing)
                )
        self.scripts = self._as_recorded(target)
        bare = msgspec.structs.replace(target, layered_commit=None)
        rebuilt = self.commit(replace(decision, target=bare))
        if rebuilt.target.layered_commit != target.layered_commit:
            raise NotReproduced(
                f"The layer was built again as {rebuilt.target.layered_commit}, not as {target.layered_commit}",
                hint="The engine has changed since: see the transaction's `engine`.",
            )
        return rebuilt

    def _compose(self, decision: Decision) -> tuple[HostState, layered_commit.Composed]:
        damaged: set[str] = set()
        self._require_sandbox(decision.target.packages)
        deployed = {each.commit: each.path for each in self.sysroot.deployments if each.pristine}
        while True:
            cached = self.fetch(decision)
            packages = plan.as_recorded((each.package for each in cached), self.state.packages)
            target = msgspec.structs.replace(decision.target, packages=packages)
            inputs = self._inputs(target)
            try:
                labels = Labels(read_policy(self.repo, target.base_commit or "", cached))
                relabelled = relabel(self.cache, cached, labels)
                self.progress.step("Composing the layered commit")
                composed = layered_commit.compose(
                    self.repo, inputs, relabelled.packages, self.scratch, deployed=deployed, labels=labels
                )
            except CacheBroken as broken:
                # What was damaged is gone from the cache now: have it again, each package once.
                if broken.package.nevra in damaged:
                    raise
                damaged.add(broken.package.nevra)
                log.warning("package cache damaged", package=broken.package.nevra)
            else:
                # What was relabelled is the cache's affair: the commit's own notes are those of its inputs alone.
                return target, msgspec.structs.replace(composed, notes=(*composed.notes, *relabelled.notes))

    def _require_sandbox(self, packages: Iterable[Package]) -> None:
        """Where scripts may have to run and can't, say so before anything is downloaded."""
        if self.scripts != "run":
            return
        from layering.scripted import scratch_for
        from layering.scripts import carried

        found = [self.cache.find(each) for each in packages]
        if any(cached is None or carried(cached.header) for cached in found):
            scratch_for(self.repo, self.scratch)

    def _rpmdb(self, repo: OSTree.Repo, base_commit: str) -> Path:
        """A directory that holds a copy of this base's rpmdb, and nothing else."""
        root = self.scratch / f"base-{base_commit[:12]}"
        if not root.exists():
            checkout_rpmdb(repo, base_commit, root)
        return root

    def _base_packages(self, repo: OSTree.Repo, base_commit: str) -> tuple[str, ...]:
        if base_commit == self.state.base_commit:
            return self.state.base_packages
        return tuple(installed(self._rpmdb(repo, base_commit)))

    def _found(self, target: HostState) -> layered_commit.Composed | None:
        if any(each.sha256 is None for each in target.packages):
            return None
        return layered_commit.find_layer(self.repo, layered_commit.layer_key(self._inputs(target)))

    def _inputs(self, target: HostState) -> layered_commit.LayerInputs:
        options = {} if self.scripts == "run" else {layered_commit.SCRIPTS: self.scripts}
        policy = self.policy(target.base_commit or "")
        return layered_commit.layer_inputs(
            target.base_commit or "", target.packages, policy.checksum if policy else None, options
        )

    def _as_recorded(self, target: HostState) -> str:
        """What became of scripts in a layer that is to be built again, by its key."""
        for scripts in SCRIPT_MODES:
            key = layered_commit.layer_key(replace(self, scripts=scripts)._inputs(target))
            if key == target.layer_key:
                return scripts
        return self.scripts  # another engine's

    def policy(self, commit: str) -> Policy | None:
        """The SELinux policy that a commit's tree carries, None for none.

        Raises:
            PolicyBroken: it can't be used.
        """
        if commit not in self._policies:
            self._policies[commit] = read_policy(self.repo, commit)
        return self._policies[commit]

    @cached_property
    def _policies(self) -> dict[str, Policy | None]:
        return {}

    def _headers(self, packages: Iterable[Package]) -> dict[Package, Path]:
        """Of each of these packages that is in the cache, a file with its header and no payload."""
        headers: dict[Package, Path] = {}
        directory = self.scratch / "headers"
        directory.mkdir(exist_ok=True)
        for package in packages:
            if source := self.local.find(package) or self.local.file(package):
                path = directory / f"{(package.sha256 or '')[:12]}-{package.nevra}.rpm"
                path.write_bytes(source.prefix)
                headers[package] = path
        return headers


def _refuse_scripts(packages: Iterable[CachedPackage]) -> None:
    from layering.scripts import carried

    found = {each.nevra: names for each in packages if (names := carried(each.header))}
    if found:
        told = "; ".join(
            f"{nevra} carries scripts that would have to run: {', '.join(found[nevra])}" for nevra in found
        )
        raise ScriptsRefused(told)


def _local(requests: Iterable[Request]) -> list[Package]:
    return [Package(each.spec, each.sha256, LOCAL) for each in requests if each.sha256]


def _same(packages: Iterable[Package], wanted: Package) -> Package:
    """The package of this NEVRA: its checksum may have become known, and its signature, with the download."""
    for package in packages:
        if package.nevra == wanted.nevra:
            return package
    raise RepositoryError(f"{wanted.nevra} was downloaded but not asked for")
