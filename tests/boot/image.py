"""The disk of a host that boots: `layer` on the base, a repository of RPMs, and a sysroot, in an ext4 file system."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.acceptance.bases import RPMDB, install, ostree, remove_tree, settle_rpmdb
from tests.acceptance.host import admin
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import build_rpm
from tests.boot.debian import REPO, compile_python, debian, run

BRANCH = "debian/stable"
STATEROOT = "debian"
LABEL = "sysroot"
SIZE = "3G"  # of the disk, mostly a hole
KERNEL_ARGUMENTS = (f"root=LABEL={LABEL}", "rw", "console=ttyS0")
LAYER = "usr/lib/layer"
PACKAGE_REPOSITORY = "usr/share/test-repository"
_PROJECT = Path(__file__).parents[2]


def make_disk(disk: Path, packages: Iterable[Path]) -> None:
    """Write the image of a disk whose sysroot has version 1 deployed, and version 2 on the branch that it follows.

    packages: the RPMs of the repository that is in the image.
    """
    work = disk.parent / "image"
    product, newer, sysroot = work / "product", work / "newer", work / "sysroot"
    _lay_out(product, packages)
    (newer / "usr/share").mkdir(parents=True)
    (newer / "usr/share/image-version").write_text("2\n")
    _deploy(sysroot, product, newer)
    run("mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-d", sysroot, disk, SIZE)
    remove_tree(work)


def _lay_out(tree: Path, packages: Iterable[Path]) -> None:
    """What the image has besides Debian's packages: `layer` as an application, an rpmdb, and a repository of RPMs."""
    home = tree / LAYER
    home.mkdir(parents=True)
    for room in ("journal", "projections", "layering", "cli"):
        shutil.copytree(_PROJECT / room, home / room, ignore=shutil.ignore_patterns("__pycache__"))
    for each in _dependencies("layer"):
        _copy(each, home)
    compile_python(tree, home)
    (tree / "usr/bin").mkdir()
    shutil.copy(_PROJECT / "packaging/launcher", tree / "usr/bin/layer")
    _lay_out_rpms(tree, packages)


def _lay_out_rpms(tree: Path, packages: Iterable[Path]) -> None:
    provides = ["system-release = 12", "system-release(releasever) = 12", "/bin/sh", "/usr/bin/sh"]
    files = {"/usr/share/debian-image/README": "What of this image is no RPM, and is provided all the same.\n"}
    image = build_rpm(tree.parent / "base", "debian-image", "12", files=files, provides=provides)
    (tree / RPMDB).mkdir(parents=True)
    install(tree, [image])
    settle_rpmdb(tree / RPMDB)
    shutil.rmtree(tree / "var", ignore_errors=True)
    repository = Repository(tree / PACKAGE_REPOSITORY)
    for package in packages:
        repository.add(package)
    repository.publish()
    configuration = tree / "usr/etc/yum.repos.d/test.repo"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(repository.repo_file(url=f"file:///{PACKAGE_REPOSITORY}"))


def _dependencies(name: str) -> Iterator[Distribution]:
    """What a distribution of the venv needs, and what that needs; what the system has is not told."""
    pending, seen = [name], {name}
    while pending:
        for text in distribution(pending.pop()).requires or ():
            requirement = Requirement(text)
            if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            found = distribution(requirement.name)
            if Path(str(found.locate_file(""))).is_relative_to(sys.prefix):
                yield found
                pending.append(requirement.name)
                seen.add(requirement.name)


def _copy(found: Distribution, home: Path) -> None:
    for path in found.files or ():
        if path.parts[0] != ".." and path.suffix != ".pyc":
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found.locate_file(path), home / path)


def _deploy(sysroot: Path, product: Path, newer: Path) -> None:
    """A sysroot with the product on Debian deployed, and the newer version committed to the same branch."""
    repo = sysroot / "ostree/repo"
    sysroot.mkdir()
    admin("init-fs", str(sysroot))
    admin("os-init", f"--sysroot={sysroot}", STATEROOT)
    ostree("config", "set", "sysroot.bootloader", "none", repo=repo)
    ostree("pull-local", str(REPO), debian(), repo=repo)
    first = _commit(repo, "1", f"--tree=ref={debian()}", f"--tree=dir={product}")
    arguments = [f"--karg={each}" for each in KERNEL_ARGUMENTS]
    admin("deploy", f"--sysroot={sysroot}", f"--os={STATEROOT}", *arguments, BRANCH)
    ostree("config", "set", "sysroot.readonly", "true", repo=repo)  # as on Fedora's hosts
    _commit(repo, "2", f"--tree=ref={first}", f"--tree=dir={newer}")
    ostree("refs", "--delete", debian(), repo=repo)


def _commit(repo: Path, version: str, *trees: str) -> str:
    options = [f"--branch={BRANCH}", f"--add-metadata-string=version={version}", "--no-xattrs", "--bootable"]
    return ostree("commit", *options, *trees, repo=repo).strip()
