"""Real OSTree base images: a tree as Fedora's composes lay it out, with an rpmdb that librpm wrote."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Self

from tests.acceptance.rpms import BUILD_TIME, File, Files, build_rpm, cache_directory

BRANCH = "os/stable"
RPMDB = "usr/share/rpm"
KERNEL = "usr/lib/modules/6.1.0"
USERS = {"root": 0, "bin": 1, "daemon": 2, "adm": 3, "games": 12, "nobody": 65534}
LINKS = {
    "home": "var/home",
    "media": "run/media",
    "mnt": "var/mnt",
    "opt": "var/opt",
    "ostree": "sysroot/ostree",
    "root": "var/roothome",
    "srv": "var/srv",
    "usr/local": "../var/usrlocal",
}
TMPFILES = "usr/lib/tmpfiles.d/rpm-ostree-0-integration.conf"
VAR = ("/var/home", "/var/lib", "/var/mnt", "/var/opt", "/var/roothome", "/var/srv", "/var/usrlocal", "/run/media")
OS_RELEASE = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40 (Test)"\n'


@cache
def standard_packages() -> tuple[Path, ...]:
    """What every base holds."""
    directory = cache_directory() / "standard"
    usr = ["/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share", "/etc"]
    usrmerge = {f"/{name}": File(symlink=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")}
    filesystem: Files = {path: File(directory=True) for path in usr} | usrmerge
    release: Files = {
        "/usr/lib/os-release": OS_RELEASE,
        "/etc/os-release": File(symlink="../usr/lib/os-release"),
        "/etc/yum.repos.d": File(directory=True),
    }
    bash: Files = {"/usr/bin/bash": File("#!ELF bash\n"), "/usr/bin/sh": File(symlink="bash")}
    return (
        build_rpm(directory, "filesystem", "3.18", arch="x86_64", files=filesystem),
        build_rpm(
            directory,
            "fedora-release",
            "40",
            files=release,
            provides=["system-release = 40-1", "system-release(releasever) = 40"],
        ),
        build_rpm(directory, "bash", "5.2.26", "3", arch="x86_64", files=bash, provides=["/bin/sh", "/usr/bin/sh"]),
        build_rpm(
            directory,
            "base-tool",
            files={"/usr/bin/base-tool": "#!/bin/sh\n", "/usr/share/base-tool/data": "base\n"},
        ),
    )


@dataclass(frozen=True, slots=True)
class BaseTree:
    """A base image to be: packages and single files, committed on demand to an archive repository.

    Both additions give a new tree that commits to the same repository, so the next version of a branch is
    `base.with_packages([foo]).commit("os/stable", "2")`.
    """

    repo: Path
    packages: tuple[Path, ...] = field(default_factory=standard_packages)
    files: Files = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.repo.exists():
            self.repo.mkdir(parents=True)
            ostree("init", "--mode=archive", repo=self.repo)

    def with_packages(self, packages: Iterable[Path]) -> Self:
        return replace(self, packages=(*self.packages, *packages))

    def without_packages(self, *names: str) -> Self:
        kept = tuple(path for path in self.packages if path.name.rsplit("-", 2)[0] not in names)
        return replace(self, packages=kept)

    def with_files(self, files: Files) -> Self:
        """Files that no package owns, by their path in the commit (`/usr/etc/…`, not `/etc/…`)."""
        return replace(self, files={**self.files, **files})

    def commit(self, branch: str = BRANCH, version: str = "1", *, timestamp: int | None = None) -> str:
        """Commit the tree to the branch and return the checksum; each commit is an hour younger than the last."""
        if timestamp is None:
            timestamp = BUILD_TIME + 3600 * len(list((self.repo / "objects").glob("*/*.commit")))
        return ostree(
            "commit",
            f"--branch={branch}",
            f"--tree=dir={self.compose()}",
            f"--add-metadata-string=version={version}",
            f"--subject=Version {version}",
            f"--timestamp=@{timestamp}",
            "--bootable",
            "--fsync=false",
            repo=self.repo,
        ).strip()

    def compose(self) -> Path:
        """The directory of the tree. It is shared by all tests: read it, don't change it."""
        tree = cache_directory() / "bases" / self._key()
        if not tree.exists():
            tree.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=tree.parent, prefix="compose-") as temporary:
                root = Path(temporary) / "tree"
                _compose(root, self.packages, self.files)
                try:
                    root.rename(tree)
                except OSError:  # another worker was faster
                    if not tree.exists():
                        raise
        return tree

    def _key(self) -> str:
        digest = hashlib.sha256()
        for package in self.packages:
            digest.update(hashlib.sha256(package.read_bytes()).digest())
        digest.update(repr(sorted(self.files.items())).encode())
        return digest.hexdigest()


def ostree(*arguments: str, repo: Path) -> str:
    command = ["ostree", arguments[0], f"--repo={repo}", *arguments[1:]]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _compose(root: Path, packages: Iterable[Path], files: Files) -> None:
    _prepare(root)
    install(root, packages)
    settle_rpmdb(root / RPMDB)
    _finish(root)
    for path, content in files.items():
        file = content if isinstance(content, File) else File(content)
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.symlink:
            target.symlink_to(file.symlink)
        else:
            target.write_bytes(file.data)
            target.chmod(file.permissions(path))


def _prepare(root: Path) -> None:
    """What rpm needs to find: its users and groups, and the place of its database."""
    root.mkdir(mode=0o755)
    (root / RPMDB).mkdir(parents=True)
    etc = root / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(_passwd(USERS))
    (etc / "group").write_text(_group(USERS))


def install(root: Path, packages: Iterable[Path]) -> None:
    # Debian's librpm keeps its database in the home directory unless it is told otherwise.
    command = ["rpm", "--root", str(root), "--dbpath", f"/{RPMDB}", "--nosignature", "--install"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(BUILD_TIME)}
    done = subprocess.run([*command, *map(str, packages)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode or "warning:" in done.stderr:
        raise RuntimeError(f"rpm could not install the base:\n{done.stdout}{done.stderr}")


def settle_rpmdb(directory: Path) -> None:
    """Make the database the one file that belongs in a commit: nothing in a write-ahead log, no lock."""
    connection = sqlite3.connect(directory / "rpmdb.sqlite")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    (directory / ".rpm.lock").unlink(missing_ok=True)


def _finish(root: Path) -> None:
    """From what rpm laid down to what rpm-ostree commits."""
    (root / "etc").rename(root / "usr/etc")
    shutil.rmtree(root / "var", ignore_errors=True)  # rpm makes /var/tmp for scripts
    for name in ("boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "var"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    for link, target in LINKS.items():
        (root / link).symlink_to(target)
    system = {"root": 0}
    (root / "usr/etc/passwd").write_text(_passwd(system))
    (root / "usr/etc/group").write_text(_group(system))
    others = {name: number for name, number in USERS.items() if name not in system}
    (root / "usr/lib/passwd").write_text(_passwd(others))
    (root / "usr/lib/group").write_text(_group(others))
    tmpfiles = root / TMPFILES
    tmpfiles.parent.mkdir()
    tmpfiles.write_text("".join(f"d {path} 0755 root root -\n" for path in VAR))
    modules = root / KERNEL
    modules.mkdir(parents=True)
    (modules / "vmlinuz").write_text("a kernel\n")
    (modules / "initramfs.img").write_text("an initramfs\n")


def _passwd(users: Mapping[str, int]) -> str:
    return "".join(f"{name}:x:{number}:{number}:{name}:/:/usr/sbin/nologin\n" for name, number in users.items())


def _group(users: Mapping[str, int]) -> str:
    return "".join(f"{name}:x:{number}:\n" for name, number in users.items())


def remove_tree(directory: Path) -> None:
    """Remove a directory, also where libostree marked deployments immutable."""
    try:
        shutil.rmtree(directory)
    except PermissionError:
        subprocess.run(["chattr", "-R", "-f", "-i", str(directory)], check=False)
        shutil.rmtree(directory)
