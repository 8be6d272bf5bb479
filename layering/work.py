"""What a verb works with while its transaction is open: the host, its caches, and what sees its repositories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from journal.store import Journal
from journal.values import Package
from layering import stateroot
from layering.base_facts import base_facts
from layering.local_rpms import LocalRpms
from layering.pkgcache import PackageCache, cache_path
from layering.policy import Policy, read_policy
from layering.progress import Progress
from layering.resolver import Resolver, Universe
from layering.rpmdb import checkout_rpmdb
from layering.sysroot import Sysroot
from projections.errors import NoSuchPoint
from projections.host import HostState

if TYPE_CHECKING:
    from gi.repository import OSTree


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

    @property
    def recorded(self) -> Journal:
        """The journal, for who can't do without it.

        Raises:
            NoSuchPoint: there is none yet.
        """
        if self.journal is None:
            raise NoSuchPoint("Nothing was recorded on this host yet")
        return self.journal

    @cached_property
    def cache(self) -> PackageCache:
        """The package cache of the sysroot."""
        return PackageCache(cache_path(self.sysroot.path))

    @property
    def metadata_cache(self) -> Path:
        """Where repository metadata and downloads are kept: /var/cache/layer of the stateroot."""
        return stateroot.var(self.sysroot.path, self.sysroot.osname) / "cache/layer"

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
            facts = base_facts(repo, base_commit)
            self._resolvers[base_commit] = DnfResolver(
                Universe(
                    root=self.rpmdb(repo, base_commit),
                    repos_dir=deployment / "etc/yum.repos.d",
                    vars_dir=deployment / "etc/dnf/vars",
                    etc_root=deployment,
                    cache_dir=self.metadata_cache,
                    releasever=facts.releasever or base_facts(self.repo, self.state.commit or "").releasever,
                    basearch=host_architecture(),
                    cacheonly=self.cacheonly,
                ),
                self.progress,
            )
        return self._resolvers[base_commit]

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

    def rpmdb(self, repo: OSTree.Repo, base_commit: str) -> Path:
        """A directory that holds a copy of this base's rpmdb, and nothing else."""
        root = self.scratch / f"base-{base_commit[:12]}"
        if not root.exists():
            checkout_rpmdb(repo, base_commit, root)
        return root

    def headers(self, packages: Iterable[Package]) -> dict[Package, Path]:
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

    def close(self) -> None:
        """Let go of what the resolvers have open."""
        for resolver in self._resolvers.values():
            resolver.close()

    @cached_property
    def _resolvers(self) -> dict[str, Resolver]:
        return {}
