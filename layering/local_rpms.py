"""Local RPMs: no repository has them again, so as long as they are asked for the host's repository holds them as well.

The package cache may be deleted at any time. What is held is the cached commit itself, hardlinked, by the ref
`layer/local/SHA256`. See docs/adr/0022.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib  # noqa: E402

from journal.values import Package, Request  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.errors import LayeringError  # noqa: E402
from layering.pkgcache import PackageCache, copy_commit  # noqa: E402
from layering.resolver import LOCAL  # noqa: E402
from layering.rpmfile import RpmFile, read_rpm  # noqa: E402
from layering.sysroot import REF_PREFIX, Sysroot  # noqa: E402

KEPT = "local/"
"""Below `layer/`: refs of the local RPMs that the host's repository holds."""


class LocalRpms:
    """The local RPMs of a host: those that this command names, and those that are held. See the module.

    dry_run: nothing is written.
    """

    def __init__(self, sysroot: Sysroot, cache: PackageCache, *, dry_run: bool) -> None:
        self._sysroot = sysroot
        self._cache = cache
        self._dry_run = dry_run
        self._files: dict[tuple[str, str | None], RpmFile] = {}

    def request(self, path: Path) -> Request:
        """The request for a local RPM. It is read now, and imported once all is resolved.

        Raises:
            ImportRefused: it is none that can be layered.
        """
        file = read_rpm(path)
        self._files[file.nevra, file.sha256] = file
        return Request(file.nevra, file.sha256)

    def file(self, package: Package) -> RpmFile | None:
        """The file that this command names for the package."""
        return self._files.get((package.nevra, package.sha256))

    def find(self, package: Package) -> CachedPackage | None:
        """The package out of the cache, or out of what the host's repository holds."""
        if found := self._cache.find(package):
            return found
        if package.sha256 is None:
            return None
        _, commit = self._sysroot.repo.resolve_rev(f"{REF_PREFIX}{KEPT}{package.sha256}", True)
        if commit is None:
            return None
        if self._dry_run:
            return CachedPackage(package, commit, self._sysroot.repo)
        self._cache.take_in(self._sysroot.repo, commit, package)
        return self._cache.find(package)

    def hold(self, requests: Iterable[Request]) -> None:
        """Have each local RPM that is asked for in the host's repository, whether or not it is layered now.

        Raises:
            ImportRefused: one can't be layered. LayeringError: it can't be written.
        """
        held = self._sysroot.refs()
        local = (each for each in requests if each.sha256 is not None and f"{KEPT}{each.sha256}" not in held)
        packages = [Package(each.spec, each.sha256, LOCAL) for each in local]
        files = {each: file.path for each in packages if not self._cache.find(each) and (file := self.file(each))}
        with closing(self._cache.import_rpms(files)) as done:
            imported = dict(done)
        for package in packages:
            if cached := imported.get(package) or self._cache.find(package):
                self._copy(cached)

    def _copy(self, cached: CachedPackage) -> None:
        try:
            copy_commit(self._cache.path, self._sysroot.repo, cached.commit)
        except GLib.Error as error:
            raise LayeringError(f"{cached.nevra} can't be held in the repository: {error.message}") from error
        self._sysroot.hold({f"{KEPT}{cached.package.sha256}": cached.commit})


def is_held(ref: str, packages: Iterable[Package]) -> bool:
    """Whether a ref, below `layer/`, holds one of these packages."""
    return ref.startswith(KEPT) and ref.removeprefix(KEPT) in {package.sha256 for package in packages}
