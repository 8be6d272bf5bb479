"""RPM files, fetched by dnf and librepo or found where a `file://` repository has them, and then verified."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import dnf.callback
import dnf.exceptions
import dnf.repo
import hawkey

from journal.values import Package
from layering.dnf_universe import DnfUniverse
from layering.dnf_voice import INTERRUPTED
from layering.errors import ChecksumMismatch, RepositoryError, SignatureError
from layering.progress import Progress
from layering.signatures import Keyring, base_certificates, certificates

_CHUNK = 1 << 20
_MISMATCH = re.compile(r"Calculated: (?P<actual>\w+)\((?P<kind>\w+)\)\s+Expected: (?P<expected>\w+)")


class Downloads:
    """The RPM files of one universe. Keyrings are made when the first package of a repository is verified."""

    def __init__(self, universe: DnfUniverse) -> None:
        self._universe = universe
        self._keyrings: dict[str, Keyring] = {}

    def find(self, package: Package) -> hawkey.Package | None:
        """This very package in the repositories: by NEVRA, and by sha256 unless the metadata has another checksum."""
        return next(iter(self._candidates(package)), None)

    def fetch(self, packages: Sequence[Package], progress: Progress) -> dict[Package, Path]:
        """The verified files of these packages, see `Resolver.download`."""
        pending = {package: self._candidates(package) for package in packages}
        if gone := [package for package, sources in pending.items() if not sources]:
            names = ", ".join(f"{each.nevra} (sha256 {each.sha256})" if each.sha256 else each.nevra for each in gone)
            raise RepositoryError(f"Packages are no longer in any repository: {names}")
        files: dict[Package, Path] = {}
        wrong: list[ChecksumMismatch] = []
        while pending:
            self._bring([source for source, *_ in pending.values() if not source._is_local_pkg()], progress)
            untried: dict[Package, list[hawkey.Package]] = {}
            for package, (source, *others) in pending.items():
                path = Path(source.localPkg())
                try:
                    sha256 = _verify_checksums(package, source, path)
                except ChecksumMismatch as error:
                    # Without a sha256 in the metadata only the files tell builds of one NEVRA apart.
                    if others:
                        untried[package] = others
                    else:
                        wrong.append(error)
                    continue
                signer = self._verify_signature(package, source, path)
                files[Package(package.nevra, sha256, source.reponame, signer)] = path
            pending = untried
        if wrong:
            raise ChecksumMismatch("\n".join(each.message for each in wrong), hint=wrong[0].hint)
        return files

    def _candidates(self, package: Package) -> list[hawkey.Package]:
        """What may be this very package, that of the repository that it is recorded with first."""
        self._universe.load_repositories()
        # What is excluded now was not when the package was chosen.
        query = self._universe.sack.query(flags=hawkey.IGNORE_EXCLUDES).available()
        found = [
            each
            for each in query.filter(nevra=package.nevra)
            if each.reponame != hawkey.CMDLINE_REPO_NAME and _may_be(each, package)
        ]
        return sorted(found, key=lambda each: (each.reponame != package.repository, each.reponame))

    def _bring(self, packages: Iterable[hawkey.Package], progress: Progress) -> None:
        """Download what is not there, or is there but is something else of the same name."""
        missing = []
        for package in packages:
            path = Path(package.localPkg())
            kind, expected = package.returnIdSum()
            if path.exists():
                if _digests(path, [kind])[0] == expected:
                    continue
                path.unlink()
            missing.append(package)
        if not missing:
            return
        if self._universe.universe.cacheonly:
            names = ", ".join(map(str, missing))
            raise RepositoryError(f"Packages are not in the cache, and nothing but the cache was to be used: {names}")
        shown = _DownloadProgress(progress)
        try:
            self._universe.base.download_packages(missing, shown)
        except dnf.exceptions.DownloadError as error:
            if any(INTERRUPTED in reason for reasons in error.errmap.values() for reason in reasons):
                raise KeyboardInterrupt from error
            raise _as_ours({**error.errmap, **shown.failures}) from error
        except (dnf.exceptions.Error, OSError) as error:
            raise RepositoryError(f"Downloading failed: {error}") from error

    def _verify_signature(self, package: Package, source: hawkey.Package, path: Path) -> str | None:
        repo = self._universe.base.repos[source.reponame]
        if not repo.gpgcheck:
            return None
        if repo.id not in self._keyrings:
            self._keyrings[repo.id] = self._keyring(repo)
        return self._keyrings[repo.id].verify(path, package.nevra, repo.id)

    def _keyring(self, repo: dnf.repo.Repo) -> Keyring:
        universe = self._universe.universe
        keys = base_certificates(universe.root)
        for url in repo.gpgkey:
            try:
                keys += certificates(self._read_key(repo, url))
            except (OSError, RuntimeError, SignatureError) as error:
                raise SignatureError(f"Key {url} of repository {repo.id} can't be used: {error}") from error
        return Keyring(keys, universe.cache_dir)

    def _read_key(self, repo: dnf.repo.Repo, url: str) -> bytes:
        """The key file behind this URL, with the repository's own proxy and certificates."""
        if url.startswith("file://"):
            return Path(url.removeprefix("file://")).read_bytes()
        if "://" not in url:
            return Path(url).read_bytes()
        copy = self._universe.universe.cache_dir / "keys" / hashlib.sha256(url.encode()).hexdigest()
        if self._universe.universe.cacheonly:
            return copy.read_bytes()
        with os.fdopen(os.memfd_create("gpgkey"), "r+b") as file:
            repo._repo.downloadUrl(url, file.fileno())
            file.seek(0)
            material = file.read()
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(material)
        return material


def sha256_of(package: hawkey.Package) -> str | None:
    """The package's sha256 by the repository's metadata, None where that has another kind of checksum."""
    kind, checksum = package.returnIdSum()
    return str(checksum) if kind == "sha256" else None


def _may_be(candidate: hawkey.Package, package: Package) -> bool:
    sha256 = sha256_of(candidate)
    return sha256 is None or package.sha256 is None or sha256 == package.sha256


def _verify_checksums(package: Package, source: hawkey.Package, path: Path) -> str:
    """The sha256 of the file, once it has proved to be what the repository's metadata and the journal name."""
    kind, expected = source.returnIdSum()
    try:
        actual, sha256 = _digests(path, [kind, "sha256"])
    except OSError as error:
        raise RepositoryError(
            f"Package {package.nevra} of repository {source.reponame} can't be read: {error}"
        ) from error
    if actual != expected:
        raise _mismatch(package.nevra, source.reponame, kind, expected, actual)
    if package.sha256 not in (None, sha256):
        raise _mismatch(package.nevra, source.reponame, "sha256", package.sha256, sha256)
    return sha256


def _digests(path: Path, kinds: Sequence[str]) -> list[str]:
    """Hex digests of the file, all in one pass."""
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            for each in hashes.values():
                each.update(chunk)
    return [hashes[kind].hexdigest() for kind in kinds]


def _mismatch(nevra: str, repository: str, kind: str, expected: str | None, actual: str) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"Package {nevra} from repository {repository} has the wrong checksum: "
        f"expected {kind} {expected}, found {actual}",
        hint="The repository may have changed: `layer refresh-md` fetches its metadata anew.",
    )


def _as_ours(failures: dict[hawkey.Package, list[str]]) -> RepositoryError:
    """One error for all packages that did not come; the first wrong checksum, if there is one, above all."""
    for package, reasons in failures.items():
        if package and (match := _MISMATCH.search(" ".join(reasons))):
            return _mismatch(str(package), package.reponame, match["kind"], match["expected"], match["actual"])
    lines = []
    for package, reasons in failures.items():
        what = f"{package} from repository {package.reponame}" if package else "Packages"
        lines.append(f"{what}: {'; '.join(dict.fromkeys(reasons))}")
    return RepositoryError(
        "Downloading failed: " + "\n".join(lines),
        hint="The repository may have changed: `layer refresh-md` fetches its metadata anew.",
    )


class _DownloadProgress(dnf.callback.DownloadProgress):  # type: ignore[misc]
    """Shows all downloads together as one step, in bytes. failures: what went wrong with each mirror."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done: dict[int, int] = {}
        self.failures: dict[hawkey.Package, list[str]] = {}

    def start(self, total_files: int, total_size: int, total_drpms: int = 0) -> None:
        self._progress.step(f"Downloading {total_files} package{'s'[: total_files != 1]}", total_size)

    def progress(self, payload: dnf.callback.Payload, done: int) -> None:
        before = self._done.get(id(payload), 0)
        if done > before:
            self._progress.advance(int(done) - before)
            self._done[id(payload)] = int(done)

    def end(self, payload: dnf.callback.Payload, status: int, err_msg: str) -> None:
        """Of a mirror that failed only this is told: in the end it is just that all were tried."""
        if status == dnf.callback.STATUS_MIRROR:
            self.failures.setdefault(payload.pkg, []).append(err_msg)
