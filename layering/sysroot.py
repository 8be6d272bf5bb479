"""The sysroot through libostree: its deployments, its lock, and the atomic switch to a new deployment."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import gi
import msgspec

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from journal.errors import as_root  # noqa: E402
from layering.commit_tree import is_whole  # noqa: E402
from layering.errors import SysrootError, SysrootLocked  # noqa: E402

REF_PREFIX = "layer/"
_PAUSES = (0.1, 0.3, 1, 3, 5)
"""Seconds to wait, each time, for a file system that is frozen: hardly anybody freezes one for longer than all."""


class Pruned(msgspec.Struct, frozen=True):
    """What a prune of a repository took away. bytes: as libostree counts them. commits: checksums, sorted."""

    commits: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0


class Deployment(msgspec.Struct, frozen=True):
    """One deployment of the stateroot, as found. id: STATEROOT-COMMIT.SERIAL. origin: text of its origin file.

    pristine: its /usr is the commit's, not unlocked for changes.
    """

    id: str
    commit: str
    origin: str
    path: Path
    booted: bool = False
    staged: bool = False
    pinned: bool = False
    pristine: bool = True


class Sysroot:
    """A sysroot, seen from one stateroot."""

    def __init__(self, path: Path, osname: str) -> None:
        self.path = path
        self.osname = osname
        file = Gio.File.new_for_path(str(path))
        self._sysroot = OSTree.Sysroot.new(file)
        try:
            if path == Path("/") and os.getuid() == 0:
                # A booted host may mount /sysroot read-only for everyone else: write in a namespace of our own.
                # libostree enters one with the sysroot open, which stays read-only then: it is opened anew inside.
                OSTree.Sysroot.new(file).initialize_with_mount_namespace(None)
                self._sysroot.set_mount_namespace_in_use()
            self._sysroot.load(None)
            self.repo: OSTree.Repo = self._sysroot.repo()
        except GLib.Error as error:
            raise SysrootError(f"{path} is not a usable OSTree sysroot: {error.message}") from error

    def reload(self) -> None:
        """See the deployments as they are now."""
        self._sysroot.load_if_changed(None)

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """Deployments of the stateroot, the one to be booted next first."""
        return tuple(self._seen(each) for each in self._own())

    @property
    def is_booted(self) -> bool:
        """Whether this system runs from one of the sysroot's deployments."""
        return self._sysroot.get_booted_deployment() is not None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold libostree's own lock, which `ostree admin`, rpm-ostree and bootc honour as well.

        Raises:
            SysrootLocked: somebody else holds it. SysrootError: it can't be taken at all.
        """
        try:
            acquired = self._try_lock()
        except GLib.Error as error:
            raise SysrootError(f"The sysroot {self.path} is not writable: {error.message}", hint=as_root()) from error
        if not acquired:
            pid, command = lock_holder(self.path / "ostree/lock")
            who = f"{command} (pid {pid})" if pid else "another process"
            raise SysrootLocked(f"Transaction in progress: {who}", hint="Try again when it is done.")
        try:
            self.reload()
            yield
        finally:
            self._sysroot.unlock()

    def _try_lock(self) -> bool:
        """libostree makes /sysroot writable first, which the kernel refuses while the file system is frozen.

        It is for a moment: for a snapshot of it, or since libostree syncs another deployment.
        """
        for pause in _PAUSES:
            try:
                return bool(self._sysroot.try_lock()[1])
            except GLib.Error as error:
                if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.BUSY):
                    raise
            time.sleep(pause)
        return bool(self._sysroot.try_lock()[1])

    def deploy(self, commit: str, origin: str, etc_from: str | None = None) -> Deployment:
        """Make a deployment of the commit the first one; on a booted host stage it for the next boot.

        origin: text of its origin file. etc_from: id of the deployment whose /etc it takes on; the merge deployment's
        otherwise. Kernel arguments are the merge deployment's. The repository is not pruned: `layer cleanup` does.
        """
        merge = self._sysroot.get_merge_deployment(self.osname)
        source = next((each for each in self._own() if self._id(each) == etc_from), merge)
        key_file = GLib.KeyFile()
        key_file.load_from_data(origin, len(origin.encode()), GLib.KeyFileFlags.NONE)
        bootconfig = merge.get_bootconfig() if merge else None
        arguments = (bootconfig.get("options") or "").split() if bootconfig else []
        arguments = [each for each in arguments if not each.startswith("ostree=")]
        try:
            if self.is_booted:
                # Not `stage_tree_with_options`: from here its structure takes no list of kernel arguments.
                _, new = self._sysroot.stage_tree(self.osname, commit, key_file, source, arguments or None, None)
            else:
                _, new = self._sysroot.deploy_tree(self.osname, commit, key_file, source, arguments or None, None)
                self._sysroot.simple_write_deployment(
                    self.osname, new, merge, OSTree.SysrootSimpleWriteDeploymentFlags.NO_CLEAN, None
                )
        except GLib.Error as error:
            raise SysrootError(f"Deploying {commit} failed: {error.message}") from error
        self.reload()
        return self._seen(new)

    def clear_away(self) -> None:
        """Remove the directories of deployments that are no longer listed, without pruning the repository."""
        with contextlib.suppress(GLib.Error):  # the switch has been made: what is left over is removed next time
            self._sysroot.prepare_cleanup(None)

    def hold(self, commits: dict[str, str]) -> None:
        """Keep commits from being pruned: refs of our own, name (below `layer/`) to commit.

        Raises:
            SysrootError: a ref can't be written.
        """
        for name, commit in commits.items():
            self._set_ref(name, commit)

    def refs(self) -> dict[str, str]:
        """The refs that `hold` made, name (below `layer/`) to commit.

        Raises:
            SysrootError: they can't be read.
        """
        try:
            _, refs = self.repo.list_refs_ext(REF_PREFIX.rstrip("/"), OSTree.RepoListRefsExtFlags.NONE)
        except GLib.Error as error:
            raise SysrootError(f"The refs below {REF_PREFIX} can't be read: {error.message}") from error
        return {str(name).removeprefix(REF_PREFIX): str(commit) for name, commit in refs.items()}

    def let_go(self, names: Iterable[str]) -> None:
        """Drop refs that `hold` made.

        Raises:
            SysrootError: a ref can't be removed.
        """
        for name in names:
            self._set_ref(name, None)

    @property
    def deployed_commits(self) -> frozenset[str]:
        """The commits of all deployments, of every stateroot."""
        return frozenset(each.get_csum() for each in self._sysroot.get_deployments())

    def drop(self, ids: Collection[str]) -> None:
        """Take deployments of the stateroot off the list, in one switch, and remove their directories.

        Raises:
            SysrootError: libostree could not.
        """
        own = [each for each in self._own() if self._id(each) in ids]
        kept = [each for each in self._sysroot.get_deployments() if not any(each.equal(other) for other in own)]
        try:
            # Plain `write_deployments` prunes the repository as well, and says so on stdout.
            self._sysroot.write_deployments_with_options(kept, OSTree.SysrootWriteDeploymentsOpts(), None)
        except GLib.Error as error:
            raise SysrootError(f"Deployments can't be dropped: {error.message}") from error
        self.reload()
        self.clear_away()

    def set_pinned(self, deployment_id: str, pinned: bool) -> None:
        """Pin a deployment in libostree, or unpin it: no tool drops one that is pinned.

        Raises:
            SysrootError: libostree could not.
        """
        for each in self._own():
            if self._id(each) == deployment_id:
                try:
                    self._sysroot.deployment_set_pinned(each, pinned)
                except GLib.Error as error:
                    raise SysrootError(f"Deployment {deployment_id} can't be pinned: {error.message}") from error
        self.reload()

    def prune(self) -> Pruned:
        """Remove every object that no ref and no deployment leads to.

        A commit that is about to go is marked partial first: cut off half-way, it is not taken for a whole one.

        Raises:
            SysrootError: the repository can't be pruned.
        """
        try:
            self._sysroot.prepare_cleanup(None)  # which also renews the refs that hold deployments
            _, refs = self.repo.list_refs_ext(None, OSTree.RepoListRefsExtFlags.NONE)
            _, present = self.repo.list_commit_objects_starting_with("")
            commits = {OSTree.object_name_deserialize(each)[0] for each in present}
            going = sorted(commits - set(refs.values()) - self.deployed_commits)
            for commit in going:
                self.repo.mark_commit_partial(commit, True)
            _, _, objects, size = self.repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)
        except GLib.Error as error:
            raise SysrootError(f"The repository can't be pruned: {error.message}") from error
        return Pruned(tuple(going), int(objects), int(size))

    def has_commit(self, commit: str) -> bool:
        """Whether the commit and all of its tree are in the repository."""
        return is_whole(self.repo, commit)

    def _set_ref(self, name: str, commit: str | None) -> None:
        try:
            self.repo.set_ref_immediate(None, REF_PREFIX + name, commit, None)
        except GLib.Error as error:
            raise SysrootError(f"The ref {REF_PREFIX}{name} can't be written: {error.message}") from error

    def _own(self) -> list[OSTree.Deployment]:
        return [each for each in self._sysroot.get_deployments() if each.get_osname() == self.osname]

    def _id(self, deployment: OSTree.Deployment) -> str:
        return f"{self.osname}-{deployment.get_csum()}.{deployment.get_deployserial()}"

    def _seen(self, deployment: OSTree.Deployment) -> Deployment:
        origin = deployment.get_origin()
        booted = self._sysroot.get_booted_deployment()
        return Deployment(
            id=self._id(deployment),
            commit=deployment.get_csum(),
            origin=origin.to_data()[0] if origin else "",
            path=Path(self._sysroot.get_deployment_directory(deployment).get_path()),
            booted=booted is not None and deployment.equal(booted),
            staged=deployment.is_staged(),
            pinned=deployment.is_pinned(),
            pristine=deployment.get_unlocked() == OSTree.DeploymentUnlockedState.NONE,
        )


def lock_holder(lock: Path) -> tuple[int | None, str]:
    """The process that holds a lock on this file, and its command line: (None, "") where it can't be seen.

    An open-file-description lock belongs to no process in /proc/locks, so /proc/PID/fdinfo is asked (proc(5)).
    """
    try:
        wanted = lock.stat()
    except OSError:
        return None, ""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if not os.path.samestat(descriptor.stat(), wanted):
                        continue
                    if "lock:" in (process / "fdinfo" / descriptor.name).read_text():
                        words = (process / "cmdline").read_bytes().replace(b"\0", b" ").split()
                        return int(process.name), b" ".join(words).decode(errors="replace")
    return None, ""
