"""What `layer pkg-add` costs as a person waits for it, on a deployed base of 10,000 and of 100,000 files.

    .venv/bin/python -m bench.pkg_add [--directory DIR] [--repeat N]

Each run adds another scriptless package of 50 files from a repository: start of Python, resolving, download, import,
layered commit, journal and deployment. libostree's deployment step (a hardlink checkout of the whole tree, and the
switch) is timed by itself, since its cost is the image's; all else has to follow the change. The peer is
`ostree admin deploy` of the base in the same sysroot, and a bare start of Python.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.layer_cost import BASES, base_repo, realistic_rpmdb, rpmbuild
from bench.measuring import in_directory, seconds

PACKAGE_FILES = 50
ENVIRONMENT = {**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments"}
# The command as its launcher runs it; libostree's part of it is timed from outside.
LAYER = """
import os, sys, time
from cli.main import run
spent = 0.0
def timed(method):
    def call(*arguments):
        global spent
        started = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            spent += time.perf_counter() - started
    return call
from layering.sysroot import Sysroot
Sysroot.deploy, Sysroot.clear_away = timed(Sysroot.deploy), timed(Sysroot.clear_away)
import gc; gc.set_threshold(100_000, 20, 20)
code = run()
print(f"deploying: {spent}", file=sys.stderr)
sys.stderr.flush(); os._exit(code)
"""
BOOTABLE = {
    "usr/lib/modules/6.1.0/vmlinuz": "kernel",
    "usr/lib/modules/6.1.0/initramfs.img": "initramfs",
    "usr/lib/os-release": "ID=bench\nVERSION_ID=1\n",
}


def main() -> None:
    with in_directory(__doc__) as (work, given):
        run(work, given.repeat)


def run(work: Path, repeat: int) -> None:
    rpmdb = realistic_rpmdb(work)
    repository = packages(work, repeat + 1)
    columns: dict[str, list[str]] = {}
    for count in BASES:
        sysroot = host(work, count, rpmdb, repository)
        outside, deploying = [], []
        for number in range(repeat + 1):
            taken, deployed = pkg_add(sysroot, f"small{number}")
            outside.append(taken - deployed)
            deploying.append(deployed)
        first, *rest = outside
        columns.setdefault("first pkg-add (adopts, fetches metadata)", []).append(f"{first:.3f} s")
        columns.setdefault("pkg-add, outside the deployment step", []).append(f"{statistics.median(rest):.3f} s")
        columns.setdefault("the deployment step", []).append(f"{statistics.median(deploying):.3f} s")
        columns.setdefault("peer: ostree admin deploy", []).append(f"{deploy(sysroot):.3f} s")
        columns.setdefault("peer: python -c pass", []).append(f"{start_of_python():.3f} s")
    print(f"{'':44}{BASES[0]:>12,}{BASES[1]:>12,} files")
    for title, values in columns.items():
        print(f"{title:44}" + "".join(f"{value:>12}" for value in values))


def packages(work: Path, count: int) -> Path:
    contents = {f"usr/share/small{n}/f{i}": f"{n} {i}" for n in range(count) for i in range(PACKAGE_FILES)}
    split = {f"small{n}": [f"usr/share/small{n}/f{i}" for i in range(PACKAGE_FILES)] for n in range(count)}
    repository = rpmbuild(work, "repository", contents, split)
    subprocess.run(["createrepo_c", "--quiet", repository], check=True)
    return repository


def host(work: Path, count: int, rpmdb: Path, repository: Path) -> Path:
    """A sysroot with the base deployed."""
    sysroot = work / f"sysroot-{count}"
    repo_file = f"[bench]\nname=bench\nbaseurl=file://{repository}\ngpgcheck=0\n"
    files = {**BOOTABLE, "usr/etc/yum.repos.d/bench.repo": repo_file}
    repo, _ = base_repo(work / f"repo-{count}", count, rpmdb, files)
    sysroot.mkdir()
    subprocess.run(["ostree", "admin", "init-fs", sysroot], check=True)
    ostree(sysroot, "config", "set", "sysroot.bootloader", "none")
    ostree(sysroot, "pull-local", repo.get_path().get_path(), "base")
    admin(sysroot, "os-init", "bench")
    admin(sysroot, "deploy", "--os=bench", "base")
    return sysroot


def pkg_add(sysroot: Path, package: str) -> tuple[float, float]:
    """Seconds that the command took, and those that libostree's deployment step took of them."""
    command = [sys.executable, "-c", LAYER, "--sysroot", sysroot, "pkg-add", package]
    os.sync()  # what was written before is not this command's
    started = time.perf_counter()
    done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    taken = time.perf_counter() - started
    return taken, float(done.stderr.rpartition("deploying: ")[2])


def deploy(sysroot: Path) -> float:
    return seconds(lambda: admin(sysroot, "deploy", "--os=bench", "base"))


def start_of_python() -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def ostree(sysroot: Path, *arguments: str) -> None:
    subprocess.run(["ostree", f"--repo={sysroot}/ostree/repo", *arguments], check=True, capture_output=True)


def admin(sysroot: Path, verb: str, *arguments: str) -> None:
    command = ["ostree", "admin", verb, f"--sysroot={sysroot}", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


if __name__ == "__main__":
    main()
