"""The base: a tree that librpm installed, in the shape of an OSTree commit, and the remote that serves it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import rpm

from demo.packages import Pool
from demo.settings import (
    ADDED_IN_NEXT,
    BASE,
    CACHE,
    DEVEL,
    EPOCH,
    KERNEL,
    LAYERABLE,
    REMOTE,
    REPOSITORY,
    STABLE,
    DemoError,
    run,
    say,
)

RPMDB = "/usr/share/rpm"
# Where an OSTree host keeps what changes; the links stand in the image.
LINKS = {
    "home": "var/home",
    "root": "var/roothome",
    "opt": "var/opt",
    "srv": "var/srv",
    "mnt": "var/mnt",
    "media": "run/media",
    "tmp": "sysroot/tmp",
    "ostree": "sysroot/ostree",
    "usr/local": "../var/usrlocal",
}
VAR = {"home": "0755", "roothome": "0700", "opt": "0755", "srv": "0755", "mnt": "0755", "usrlocal": "0755"}
REPO_FILE = f"""\
[demo]
name=Packages of the layer demo
baseurl=file://{REPOSITORY}
enabled=1
gpgcheck=0
"""


def install(tree: Path, rpms: Iterable[Path]) -> None:
    """What `rpm --root TREE --upgrade` does, dependency check included."""
    rpm.addMacro("_dbpath", RPMDB)
    transaction = rpm.TransactionSet(str(tree))
    try:
        transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
        for path in sorted(rpms):
            with path.open("rb") as file:
                transaction.addInstall(transaction.hdrFromFdno(file.fileno()), str(path), "u")
        problems = transaction.check() or transaction.order() or transaction.run(Reader(), "")
        if problems:
            raise DemoError(f"rpm could not install into {tree}: {problems}")
    finally:
        transaction.closeDB()
        rpm.delMacro("_dbpath")


class Reader:
    """Opens and closes the RPM files as librpm asks for them."""

    def __call__(self, reason: int, _amount: int, _total: int, key: str, _data: object) -> int | None:
        if reason == rpm.RPMCALLBACK_INST_OPEN_FILE:
            self._file = Path(key).open("rb")  # noqa: SIM115
            return self._file.fileno()
        if reason == rpm.RPMCALLBACK_INST_CLOSE_FILE:
            self._file.close()
        elif reason in (rpm.RPMCALLBACK_UNPACK_ERROR, rpm.RPMCALLBACK_SCRIPT_ERROR):
            raise DemoError(f"rpm could not unpack {key}")
        return None


def seed(tree: Path) -> None:
    """The users and groups that files of the packages belong to, as base-passwd's maintainer script would."""
    (tree / "etc").mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copyfile(f"/usr/share/base-passwd/{name}.master", tree / "etc" / name)


def shape(tree: Path, version: str) -> None:
    """Make the installed tree one that OSTree deploys, with what maintainer scripts would have left in it."""
    run("chroot", tree, "/usr/bin/systemd-sysusers")
    for command in ("pwconv", "grpconv"):
        run("chroot", tree, f"/usr/sbin/{command}")
    for name in ("shadow", "gshadow"):
        shutil.chown(tree / "etc" / name, "root", "shadow")
        (tree / "etc" / name).chmod(0o640)
    for path in [*tree.glob("etc/.pwd.lock"), *tree.glob("etc/*-")]:
        path.unlink()
    for name in ("passwd", "group"):
        shutil.copy(tree / "etc" / name, tree / "usr/lib" / name)
    for name in ("libc-bin/nsswitch.conf", "base-files/profile"):
        shutil.copy(tree / "usr/share" / name, tree / "etc")
    for name in ("machine-id", "resolv.conf"):
        (tree / "etc" / name).touch()
    (tree / "etc/hostname").write_text("demo-host\n")
    (tree / "etc/yum.repos.d").mkdir()
    (tree / "etc/yum.repos.d/demo.repo").write_text(REPO_FILE)
    run("ldconfig", "-X", "-r", tree)
    with (tree / "usr/lib/os-release").open("a") as file:
        file.write(f"OSTREE_VERSION='{version}'\n")

    # The host is not booted, so that its kernel only has to be where OSTree looks for one.
    modules = tree / "usr/lib/modules" / KERNEL
    modules.mkdir(parents=True)
    for name in ("vmlinuz", "initramfs.img"):
        (modules / name).write_text(f"stand-in for {name} of the demo host, which is not booted\n")

    # Not kept: what only dpkg and ldconfig use, and the two that systemd's own tmpfiles.d links to /run.
    for name in ("lib/dpkg", "cache/ldconfig", "lock", "run"):
        shutil.rmtree(tree / "var" / name, ignore_errors=True)
    made = [f"d /var/{name} {mode} root root -" for name, mode in VAR.items()]
    made += [
        f"d /{path.relative_to(tree)} {path.stat().st_mode & 0o7777:04o} {path.owner()} {path.group()} -"
        for path in sorted((tree / "var").rglob("*"))
        if path.is_dir() and not path.is_symlink()
    ]
    (tree / "usr/lib/tmpfiles.d/demo-var.conf").write_text("\n".join(made) + "\n")
    for folder in ("var", "run", "dev", "proc", "sys"):
        shutil.rmtree(tree / folder, ignore_errors=True)
        (tree / folder).mkdir(mode=0o755)
    (tree / "sysroot").mkdir()
    for link, target in LINKS.items():
        shutil.rmtree(tree / link, ignore_errors=True)
        (tree / link).symlink_to(target)
    (tree / "etc").rename(tree / "usr/etc")

    for leftover in (tree / RPMDB[1:]).iterdir():
        if leftover.name != "rpmdb.sqlite":
            leftover.unlink()


def commit(tree: Path, branch: str, version: str) -> None:
    run(
        "ostree",
        f"--repo={REMOTE}",
        "commit",
        f"--branch={branch}",
        f"--tree=dir={tree}",
        "--no-xattrs",
        f"--subject=The demo's base, {version}",
        f"--add-metadata-string=version={version}",
        f"--timestamp=@{EPOCH}",
        "--bootable",
    )
    run("ostree", f"--repo={REMOTE}", "summary", "--update")


class Composer:
    """Makes the trees of the demo, the remote's branches from them, and the yum repository."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def _compose(self, branch: str, version: str, rpms: Iterable[Path]) -> None:
        tree = CACHE / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        # Reaches librpm: without it the rpmdb, and so each base commit, would carry the time of this run.
        os.environ["SOURCE_DATE_EPOCH"] = str(EPOCH)
        seed(tree)
        install(tree, rpms)
        shape(tree, version)
        del os.environ["SOURCE_DATE_EPOCH"]
        commit(tree, branch, version)
        shutil.rmtree(tree)

    def _base(self, *added: str) -> dict[str, Path]:
        return {name: package.path for name, package in self._pool.closure([*BASE, *added]).items()}

    def begin(self) -> None:
        """The remote with 12.1 and the devel branch; the repository."""
        shutil.rmtree(REMOTE, ignore_errors=True)
        run("ostree", f"--repo={REMOTE}", "init", "--mode=archive")
        run("ostree", f"--repo={REMOTE}", "config", "set", "archive.zlib-level", "2")
        say("Composing the base, 12.1")
        self._compose(STABLE, "12.1", self._base().values())
        say("Composing the devel base, 12.1-devel")
        self._compose(DEVEL, "12.1-devel", self._base("strace").values())
        self._publish()

    def proceed(self) -> None:
        """A later day: base 12.2 with one package rebuilt and one more, and a newer jq in the repository."""
        rpms = self._base(*ADDED_IN_NEXT) | {"base-files": self._pool.newer("base-files")}
        self._compose(STABLE, "12.2", rpms.values())
        self._publish(jq=self._pool.newer("jq"))

    def _publish(self, **newer: Path) -> None:
        shutil.rmtree(REPOSITORY, ignore_errors=True)
        REPOSITORY.mkdir()
        offered = self._pool.closure(LAYERABLE).keys() - self._base().keys()
        for rpm_file in ({name: self._pool.packages[name].path for name in offered} | newer).values():
            shutil.copy(rpm_file, REPOSITORY)
        run("createrepo_c", "--quiet", REPOSITORY)
