"""The package cache: a child repository that holds each imported RPM as a commit. Deleting it loses nothing.

It has no parent repository: an object that lived in the host's repository alone would vanish from the cache with the
next prune of the deployment that brought it. Laying a package hardlinks the objects, so nothing is there twice.
For the same reason nothing here is synced to disk: laying checks every object, and the layered commit is synced.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import gi
import msgspec
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from journal.values import Package  # noqa: E402
from layering.cached_package import REF_PREFIX, CachedPackage, branch_of, commit_metadata, load_package, ref_of  # noqa: E402
from layering.errors import ChecksumMismatch, LayeringError  # noqa: E402
from layering.labels import UNLABELLED, Labels  # noqa: E402
from layering.parallel import processors, spread  # noqa: E402
from layering.payload import import_payload  # noqa: E402
from layering.rpmfile import RpmFile, read_rpm  # noqa: E402

KEPT = 3
"""How many commits of a package are kept, each labelled with another SELinux policy."""

_EACH = 128 << 10
_ENOUGH = 2 << 20
"""Bytes of RPMs, each counted so much larger than it is, from which on to import several at a time."""

_DIRECTORY = Path("ostree/repo/extensions/layer/pkgcache")


def copy_commit(source: Path, repo: OSTree.Repo, commit: str) -> None:
    """A commit and its objects out of the repository at `source`, hardlinked where the file system can."""
    options = {"refs": GLib.Variant("as", [commit]), "depth": GLib.Variant("i", 0)}
    repo.pull_with_options(source.as_uri(), GLib.Variant("a{sv}", options), None, None)


def cache_path(sysroot: Path) -> Path:
    """Where the cache of a sysroot lies, beside rpm-ostree's own."""
    return sysroot / _DIRECTORY


class PackageCache:
    """The cache at `path`; it is made when the first package is imported, anew where it can't be opened any more."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, package: Package) -> CachedPackage | None:
        """The package with this NEVRA and checksum; of any checksum, where `package` names none.

        Its commit is whole and complete; objects that were damaged since are found when it is laid, see
        `objects.CacheBroken`.
        """
        if not self._exists:
            return None
        if package.sha256 is not None:
            return load_package(self._repo, ref_of(package), package)
        refs = self._refs(f"{REF_PREFIX}/{branch_of(package.nevra)}")
        found = (load_package(self._repo, ref, package) for ref in refs)
        return next((cached for cached in found if cached is not None), None)

    def import_rpm(self, path: Path, package: Package, labels: Labels = UNLABELLED) -> CachedPackage:
        """Import an RPM, unless it is there already. `package` says what is expected, and where it came from.

        labels: that its files get; one that is there already keeps those that it has.

        Raises:
            ChecksumMismatch: it is another package than the one that is named.
            ImportRefused: it is damaged, or holds something that can't be layered.
            LayeringError: the cache can't be written.
        """
        read = read_rpm(path)
        if read.nevra != package.nevra:
            raise ChecksumMismatch(f"{path} holds {read.nevra}, not {package.nevra}")
        if package.sha256 not in {None, read.sha256}:
            raise ChecksumMismatch(f"{path}: SHA-256 of {read.nevra} is {read.sha256}, not {package.sha256}")
        known = msgspec.structs.replace(package, sha256=read.sha256)
        try:
            return self.find(known) or self._import(read, known, labels)
        except (GLib.Error, OSError) as error:
            reason = error.message if isinstance(error, GLib.Error) else error
            raise LayeringError(f"{read.nevra} could not be imported into the package cache: {reason}") from error

    def import_rpms(
        self, files: Mapping[Package, Path], labels: Labels = UNLABELLED, processes: int | None = None
    ) -> Generator[tuple[Package, CachedPackage], None, None]:
        """Import RPMs as `import_rpm` does, several at a time; each is given as soon as it is there, by its key.

        What was imported before one failed stays. To be closed when it is left early, see `parallel.spread`.

        Args:
            processes: how many; by default what the machine has, if there is enough to do.
        """
        if not files:
            return
        # The largest first: none is left over at the end that the others would wait for.
        sizes = {package: path.stat().st_size for package, path in files.items()}
        packages = sorted(files, key=lambda package: (-sizes[package], package))
        if processes is None:
            processes = processors() if _is_worth_forks(sizes.values()) else 1
        _ = self._repo  # made before anyone imports into it
        forked = PackageCache(self.path)  # which no process has opened yet: each opens its own

        def one(number: int) -> tuple[Package, str]:
            package = packages[number]
            cached = forked.import_rpm(files[package], package, labels)
            return cached.package, cached.commit

        with closing(spread(one, len(packages), processes)) as done:
            for number, (package, commit) in done:
                yield packages[number], CachedPackage(package, commit, self._repo)

    def take_in(self, repo: OSTree.Repo, commit: str, package: Package) -> None:
        """Have a package again whose commit another repository holds.

        Raises:
            LayeringError: its objects are not all there.
        """
        try:
            copy_commit(Path(repo.get_path().get_path()), self._repo, commit)
            self._repo.set_ref_immediate(None, ref_of(package), commit, None)
        except GLib.Error as error:
            raise LayeringError(f"{package.nevra} can't be brought into the cache: {error.message}") from error

    def packages(self) -> list[Package]:
        """All that is in the cache."""
        found = (load_package(self._repo, ref, None) for ref in self._refs())
        return sorted(cached.package for cached in found if cached is not None)

    def unusable(self) -> str | None:
        """Why the cache that is there can't be opened; None where it can, or where there is none."""
        try:
            self._open()
        except GLib.Error as error:
            return str(error.message)
        return None

    def damaged(self) -> Iterator[tuple[str, str]]:
        """NEVRA (or branch) of each package that is not whole, and what is wrong with it. Reads every object."""
        for ref in self._refs():
            package = load_package(self._repo, ref, None)
            if package is None:
                yield ref, "its commit can't be read"
                continue
            try:
                _, reachable = self._repo.traverse_commit(package.commit, 0)
                for name in reachable:
                    checksum, kind = OSTree.object_name_deserialize(name)
                    self._repo.fsck_object(kind, checksum)
            except GLib.Error as error:
                yield package.nevra, error.message

    def labelled(self, package: CachedPackage) -> list[CachedPackage]:
        """The package as it is kept, under one SELinux policy each, the newest first."""
        _, commit = self._repo.resolve_rev(package.ref, True)
        found: list[CachedPackage] = []
        while commit is not None and len(found) < KEPT:
            try:
                _, variant, _ = self._repo.load_commit(commit)
            except GLib.Error:
                break
            found.append(CachedPackage(package.package, commit, self._repo))
            commit = OSTree.commit_get_parent(variant)
        return found

    @contextmanager
    def writing(self) -> Iterator[OSTree.Repo]:
        """A transaction of the cache's repository, in which `add_labelled` may be called. All of it or nothing.

        What is older than the commits of a package that are to be kept goes at the end.

        Raises:
            LayeringError: the cache can't be written.
        """
        try:
            with self._transaction():
                yield self._repo
        except GLib.Error as error:
            raise LayeringError(f"the package cache can't be written: {error.message}") from error
        self._prune()

    def add_labelled(self, package: CachedPackage, root: OSTree.RepoFile, policy: str) -> CachedPackage:
        """Commit the package's tree, labelled with the policy of this checksum, as the newest of its branch."""
        _, variant = self._repo.load_variant(OSTree.ObjectType.COMMIT, package.commit)
        metadata = GLib.VariantDict.new(variant.get_child_value(0))
        metadata.insert_value("layer.policy", GLib.Variant("s", policy))
        commit = self._commit(package.commit, package.nevra, metadata.end(), root, package.build_time)
        self._repo.transaction_set_ref(None, package.ref, commit)
        return CachedPackage(package.package, commit, self._repo)

    def beyond(self, keep: Collection[Package]) -> list[Package]:
        """What is in the cache and not among those to keep (by NEVRA and checksum)."""
        kept = {(package.nevra, package.sha256) for package in keep}
        return [each for each in self.packages() if (each.nevra, each.sha256) not in kept]

    def retain(self, keep: Collection[Package]) -> tuple[int, int]:
        """Drop all packages but those to keep (by NEVRA and checksum); how many objects and bytes that freed."""
        if not self._exists:
            return 0, 0
        for ref in {*self._refs()} - {ref_of(package) for package in keep}:
            self._repo.set_ref_immediate(None, ref, None, None)
        return self._prune()

    def _commit(
        self, parent: str | None, subject: str, metadata: GLib.Variant, root: OSTree.RepoFile, time: int
    ) -> str:
        """Write a commit; a damaged one under its checksum, which libostree would leave alone, makes room."""
        repo = self._repo
        _, commit = repo.write_commit_with_time(parent, subject, "", metadata, root, time)
        try:
            repo.fsck_object(OSTree.ObjectType.COMMIT, commit)
        except GLib.Error:
            repo.delete_object(OSTree.ObjectType.COMMIT, commit)
            repo.write_commit_with_time(parent, subject, "", metadata, root, time)
        return str(commit)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction of the repository, aborted where what is done in it fails."""
        self._repo.prepare_transaction()
        try:
            yield
            self._repo.commit_transaction()
        except BaseException:
            self._repo.abort_transaction()
            raise

    @property
    def _exists(self) -> bool:
        return self._found is not None

    def _refs(self, prefix: str = REF_PREFIX) -> list[str]:
        """The branches below a prefix, sorted; none where there is no cache yet."""
        if not self._exists:
            return []
        _, refs = self._repo.list_refs_ext(prefix, OSTree.RepoListRefsExtFlags.NONE)
        return sorted(refs)

    def _prune(self) -> tuple[int, int]:
        """How many objects and bytes went with what no branch holds any more."""
        _, _, objects, freed = self._repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, KEPT - 1)
        return int(objects), int(freed)

    def _open(self) -> OSTree.Repo | None:
        if not (self.path / "config").exists():
            return None
        repo = OSTree.Repo.new(Gio.File.new_for_path(str(self.path)))
        repo.open()
        return repo

    @cached_property
    def _found(self) -> OSTree.Repo | None:
        try:
            return self._open()
        except GLib.Error:  # losing a cache loses nothing
            return None

    @cached_property
    def _repo(self) -> OSTree.Repo:
        repo = self._found
        if repo is None:
            # What is laid is out of reach of users: a setuid file is in force on a deployment, not in a cache.
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.parent.chmod(0o700)
            shutil.rmtree(self.path, ignore_errors=True)
            repo = OSTree.Repo.new(Gio.File.new_for_path(str(self.path)))
            repo.create(OSTree.RepoMode.BARE)
            self._found = repo
        repo.set_disable_fsync(True)
        return repo

    def _import(self, read: RpmFile, package: Package, labels: Labels) -> CachedPackage:
        with self._transaction():
            root, attributes = import_payload(self._repo, read, labels)
            variant = commit_metadata(read, package, attributes, labels)
            build_time = read.header[rpm.RPMTAG_BUILDTIME] or 0
            commit = self._commit(None, read.nevra, variant, root, build_time)
            self._repo.transaction_set_ref(None, ref_of(package), commit)
        return CachedPackage(package, commit, self._repo)


def _is_worth_forks(sizes: Collection[int]) -> bool:
    """Whether importing files of these sizes in bytes takes longer than forking; measured in bench/importing.py."""
    return len(sizes) > 1 and sum(size + _EACH for size in sizes) >= _ENOUGH
