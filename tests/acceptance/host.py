"""A real OSTree host in a directory, and the `layer` command run on it as a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gi

from tests.acceptance.bases import BRANCH, RPMDB, TMPFILES, ostree, remove_tree
from tests.acceptance.rpms import cache_directory

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, OSTree  # noqa: E402 - the version comes first

STATEROOT = "testos"
REMOTE = "test"
# Without this libostree makes deployments immutable, as on a real host, and tests could not remove them.
ENVIRONMENT = {"OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
LAYER = Path(sys.executable).parent / "layer"
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps([done.returncode, done.stdout, done.stderr, peak]))
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of the command left: `exit` is its exit status."""

    command: tuple[str, ...]
    exit: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        parts = [f"$ {' '.join(self.command)}", self.stdout, self.stderr, f"exit status {self.exit}"]
        return "\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Host:
    """A sysroot with one stateroot. `install()` makes it; deployments count from 0, the one to boot next."""

    sysroot: Path
    stateroot: str = STATEROOT

    @classmethod
    def install(cls, sysroot: Path, remote: Path, branch: str = BRANCH) -> Host:
        """Make the sysroot, and pull and deploy the branch from the repository `remote`.

        What was installed before from the same commit is copied, which is five times as fast.
        """
        commit = (remote / "refs/heads" / branch).read_text().strip()
        installed = cache_directory() / "hosts" / f"{commit}-{branch.replace('/', '-')}"
        if not installed.exists():
            installed.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=installed.parent, prefix="install-") as temporary:
                made = cls._make(Path(temporary) / "sysroot", remote, branch)
                try:
                    made.sysroot.rename(installed)
                except OSError:  # another worker was faster
                    if not installed.exists():
                        raise
        sysroot.parent.mkdir(parents=True, exist_ok=True)
        host = cls(installed).copy_to(sysroot)
        config = host.repo / "config"
        config.write_text(re.sub(r"(?m)^url=.*$", f"url={remote.as_uri()}", config.read_text()))
        return host

    @classmethod
    def _make(cls, sysroot: Path, remote: Path, branch: str) -> Host:
        host = cls(sysroot)
        sysroot.mkdir()
        admin("init-fs", str(sysroot))
        host.admin("os-init", host.stateroot)
        ostree("config", "set", "sysroot.bootloader", "none", repo=host.repo)
        ostree("remote", "add", "--set=gpg-verify=false", REMOTE, remote.as_uri(), repo=host.repo)
        host.pull(branch)
        host.admin("deploy", f"--os={host.stateroot}", "--karg=root=LABEL=root", f"{REMOTE}:{branch}")
        return host

    def copy_to(self, sysroot: Path) -> Host:
        """The same host again, hardlinks, attributes and journal included."""
        subprocess.run(["cp", "--archive", str(self.sysroot), str(sysroot)], check=True)
        return replace(self, sysroot=sysroot)

    # Places

    @property
    def repo(self) -> Path:
        return self.sysroot / "ostree/repo"

    @property
    def journal(self) -> Path:
        return self.sysroot / "ostree/deploy" / self.stateroot / "var/lib/layer/journal.db"

    def deployment(self, index: int = 0) -> Path:
        """The directory of a deployment."""
        return self.sysroot / "ostree/deploy" / self.stateroot / "deploy" / self.deployments()[index]

    # The command under test

    def run(
        self,
        *args: str | Path,
        check: int | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
    ) -> Result:
        """Run `layer ARGS` on this host; with `check`, its exit status must be that."""
        command = self.command(*args)
        done = subprocess.run(
            command,
            env=environment(env),
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )
        result = Result(command, done.returncode, done.stdout, done.stderr)
        assert check is None or result.exit == check, str(result)
        return result

    def measure(self, *args: str | Path) -> tuple[Result, int]:
        """Run `layer ARGS`, and tell how many bytes of memory the process had at its peak.

        By a process between: what is forked from this one starts with the peak that this one has had.
        """
        command = self.command(*args)
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, *command],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        status, stdout, stderr, peak = json.loads(done.stdout)
        return Result(command, status, stdout, stderr), peak

    def command(self, *args: str | Path) -> tuple[str, ...]:
        """The command line that `run` runs."""
        return (str(LAYER), "--sysroot", str(self.sysroot), "--os", self.stateroot, *map(str, args))

    def ok(self, *args: str | Path) -> Result:
        """Run a command that must succeed."""
        return self.run(*args, check=0)

    def json(self, *args: str | Path) -> Any:
        """The document that `layer ARGS --json` prints, which must succeed."""
        return json.loads(self.ok(*args, "--json").stdout)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.json("status")
        return document

    def current(self) -> dict[str, Any]:
        """What `status` says of the first deployment."""
        entry: dict[str, Any] = self.status()["deployments"][0]
        return entry

    def history(self, *filters: str) -> list[dict[str, Any]]:
        """The transactions, oldest first."""
        return sorted(self.json("history", *filters), key=lambda entry: entry["transaction"])

    def last(self) -> dict[str, Any]:
        """The newest transaction."""
        return self.history()[-1]

    # What is on the disk, read without the product

    def deployments(self) -> list[str]:
        """The names `CHECKSUM.SERIAL` of the deployments, in boot order."""
        sysroot = OSTree.Sysroot.new(Gio.File.new_for_path(str(self.sysroot)))
        sysroot.load(None)
        return [f"{each.get_csum()}.{each.get_deployserial()}" for each in sysroot.get_deployments()]

    def commit_of(self, index: int = 0) -> str:
        return self.deployments()[index].partition(".")[0]

    def origin(self, index: int = 0) -> str:
        """The text of the deployment's origin file."""
        path = self.deployment(index)
        return path.with_name(f"{path.name}.origin").read_text()

    def parent_of(self, commit: str) -> str | None:
        """The parent of a commit in the sysroot's repository."""
        variant = self._open().load_variant(OSTree.ObjectType.COMMIT, commit)[1]
        parent: str | None = OSTree.commit_get_parent(variant)
        return parent

    def refs(self) -> dict[str, str]:
        """Every ref of the sysroot's repository, libostree's own and the product's among them."""
        refs: dict[str, str] = self._open().list_refs_ext(None, OSTree.RepoListRefsExtFlags.NONE, None)[1]
        return dict(refs)

    def path(self, path: str, index: int = 0) -> Path:
        """Where a path of the deployed system lies, links on the way followed as they lead once booted."""
        return resolve(self.deployment(index), path)

    def read(self, path: str, index: int = 0) -> str:
        return self.path(path, index).read_text()

    def exists(self, path: str, index: int = 0) -> bool:
        return os.path.lexists(self.path(path, index))

    def stat(self, path: str, index: int = 0) -> os.stat_result:
        return self.path(path, index).lstat()

    def rpm_nevras(self, index: int = 0) -> list[str]:
        """What the deployment's rpmdb, a copy of it, holds according to rpm."""
        with tempfile.TemporaryDirectory() as copy:
            shutil.copy(self.deployment(index) / RPMDB / "rpmdb.sqlite", copy)
            command = ["rpm", "--dbpath", copy, "-qa", "--qf", r"%{NEVRA}\n"]
            return sorted(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())

    def rpm_names(self, index: int = 0) -> list[str]:
        return [nevra.rsplit("-", 2)[0] for nevra in self.rpm_nevras(index)]

    def fsck(self) -> None:
        """Every object of the sysroot's repository and of the repositories inside it must be sound."""
        inner = [*self.repo.glob("extensions/*/config"), *self.repo.glob("extensions/*/*/config")]
        for repo in [self.repo, *(config.parent for config in inner)]:
            command = ["ostree", "fsck", f"--repo={repo}", "--quiet"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"ostree fsck of {repo}:\n{done.stdout}{done.stderr}"

    def snapshot_tree(self) -> dict[str, str]:
        """All that makes the host what it is, the journal left out; equal before and after: nothing changed."""
        snapshot = {f"ref {name}": commit for name, commit in self.refs().items()}
        snapshot["deployments"] = " ".join(self.deployments())
        for index, name in enumerate(self.deployments()):
            snapshot[f"origin {name}"] = self.origin(index)
        for top in (self.sysroot / "boot", self.sysroot / "ostree/deploy" / self.stateroot / "deploy"):
            snapshot |= {str(path.relative_to(self.sysroot)): _describe(path) for path in _walk(top)}
        return snapshot

    def boot(self, directory: Path, index: int = 0) -> Path:
        """A copy of the deployment as it would come up: what tmpfiles.d asks for is there.

        The base's own directories in /var are there before, as on a host that has been running it.
        """
        root = directory / "booted"
        shutil.copytree(self.deployment(index), root, symlinks=True)
        for name in ("passwd", "group"):  # nss-altfiles reads both, systemd-tmpfiles --root only the first
            merged = (root / "etc" / name).read_text() + (root / "usr/lib" / name).read_text()
            (root / "etc" / name).write_text(merged)
        for only in ([str(root / TMPFILES)], []):
            command = ["systemd-tmpfiles", f"--root={root}", "--create", *only]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"systemd-tmpfiles:\n{done.stdout}{done.stderr}"
        return root

    # What others do to a host

    def admin(self, verb: str, *args: str) -> str:
        """Run `ostree admin VERB` on this host."""
        return admin(verb, f"--sysroot={self.sysroot}", *args)

    def pull(self, *branches: str) -> None:
        ostree("pull", REMOTE, *branches, repo=self.repo)

    def make_branch(self, branch: str, commit: str) -> None:
        """Make a local branch in the sysroot's repository."""
        ostree("refs", f"--create={branch}", commit, repo=self.repo)

    def write(self, path: str, text: str) -> None:
        """Write a file of the first deployment, as an administrator would in /etc."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def set_repo(self, text: str, name: str = "test") -> None:
        """Make this the host's configuration of package repositories."""
        self.write(f"/etc/yum.repos.d/{name}.repo", text)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold libostree's lock of the sysroot in another process, whose pid is given."""
        script = (
            "import sys, gi\n"
            "gi.require_version('OSTree', '1.0')\n"
            "from gi.repository import Gio, OSTree\n"
            "sysroot = OSTree.Sysroot.new(Gio.File.new_for_path(sys.argv[1]))\n"
            "sysroot.load(None)\n"
            "sysroot.lock()\n"
            "print('locked', flush=True)\n"
            "sys.stdin.read()\n"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(self.sysroot)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            yield holder.pid

    def remove(self) -> None:
        remove_tree(self.sysroot)

    def _open(self) -> Any:
        repo = OSTree.Repo.new(Gio.File.new_for_path(str(self.repo)))
        repo.open(None)
        return repo


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without what would steer the product, plus what every test needs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LAYER_")}
    return {**inherited, **ENVIRONMENT, **(extra or {})}


def admin(verb: str, *args: str) -> str:
    done = subprocess.run(
        ["ostree", "admin", verb, *args], env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


def resolve(root: Path, path: str) -> Path:
    """Follow the links to directories on the way, inside the root; not the last part."""
    place = root
    *parents, last = [part for part in path.split("/") if part]
    pending = list(reversed(parents))
    while pending:
        part = pending.pop()
        here = place / part
        if part == "..":
            place = place.parent if place != root else root
        elif here.is_symlink():
            target = str(here.readlink())
            place = root if target.startswith("/") else place
            pending += reversed([part for part in target.split("/") if part])
        else:
            place = here
    return place / last


def _walk(top: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(top):
        yield from (Path(directory, name) for name in (*names, *files))


def _describe(path: Path) -> str:
    info = path.lstat()
    content = ""
    if stat.S_ISREG(info.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(info.st_mode):
        content = str(path.readlink())
    return f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} {content}"
