"""A layer of a package with a script, made in our way and in that of rpm-ostree; `bench.scripts` compares them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from bench.layer_cost import SMALL, TIME  # noqa: E402
from layering.base_scripts import base_of  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.labels import UNLABELLED  # noqa: E402
from layering.layer_key import layer_inputs  # noqa: E402
from layering.layered_commit import compose  # noqa: E402
from layering.librpm import DBPATH  # noqa: E402
from layering.rpmdb import checkout_rpmdb, database_files, install, package_list  # noqa: E402
from layering.scripted import Ground, graft_and_run  # noqa: E402
from layering.scripts import plan_scripts  # noqa: E402
from layering.trees import lookup  # noqa: E402

AT_CWD = -100
POST = """echo new > /usr/share/new
echo 'games2:x:99:99::/:/sbin/nologin' >> /etc/passwd
rm /usr/lib/p1/base-1-1 /usr/lib/p2/base-2-2
rm -r /usr/lib/p3
"""

Step = Callable[[str], AbstractContextManager[None]]


@dataclass
class Ours:
    """Our way. scratch: as `Host` has it. count: each run is a layer of its own."""

    work: Path
    scratch: Path
    repo: OSTree.Repo
    base: str
    cached: CachedPackage
    count: int = 0

    def compose(self, deployed: dict[str, Path] | None = None) -> str:
        self.count += 1
        inputs = layer_inputs(self.base, [self.cached.package], options={"run": str(self.count)})
        return compose(self.repo, inputs, [self.cached], self.scratch, deployed=deployed).commit

    def scripts_only(self, deployed: dict[str, Path]) -> str:
        """All but the rpmdb: it is read for the base's triggers, and stays as it is."""
        root = self.scratch / "asked"
        checkout_rpmdb(self.repo, self.base, root)
        plan = plan_scripts([self.cached.header], base_of(root))
        shutil.rmtree(root)
        ground = Ground(self.scratch, deployed)
        grafted, _ = graft_and_run(
            self.repo,
            self.base,
            [self.cached],
            lambda _: None,
            plan=plan,
            ground=ground,
            rpmdb=DBPATH,
            timestamp=TIME,
            labels=UNLABELLED,
            relabel=lambda _: [self.cached],
        )
        return commit_tree(self.repo, self.base, grafted.tree)

    def forget_checkout(self) -> None:
        shutil.rmtree(self.work / "repo/extensions/layer/base", ignore_errors=True)


@dataclass
class Theirs:
    """The usual way. step: times a step of it, by its name."""

    work: Path
    repo: OSTree.Repo
    base: str
    cached: CachedPackage
    step: Step
    tree: Path = field(init=False)

    def __post_init__(self) -> None:
        self.tree = self.work / "tree"
        self.files = self.work / "files"  # the package's, as in rpm-ostree's cache
        for name, text in SMALL.items():
            (self.files / name).parent.mkdir(parents=True, exist_ok=True)
            (self.files / name).write_text(text)

    def compose(self, *, rpmdb: bool = True, scan: bool = False, steps: bool = True) -> str:
        step = self.step if steps else _untold
        if scan:
            self.repo.scan_hardlinks(None)
        with step("  checkout -H"):
            checkout(self.repo, self.base, self.tree)
        with step("  package"):
            subprocess.run(["cp", "-al", f"{self.files}/.", self.tree], check=True)
        with step("  bwrap over rofiles-fuse"):
            self.run_script()
        if rpmdb:
            with step("  rpmdb"):
                self.enter_package()
        with step("  commit"):
            modifier = OSTree.RepoCommitModifier.new(OSTree.RepoCommitModifierFlags.DEVINO_CANONICAL, None)
            root = OSTree.MutableTree.new()
            self.repo.write_dfd_to_mtree(AT_CWD, str(self.tree), root, modifier)
            return commit_tree(self.repo, self.base, root)

    def run_script(self) -> None:
        mounted = self.work / "mounted"
        mounted.mkdir(exist_ok=True)
        subprocess.run(["rofiles-fuse", "--copyup", self.tree, mounted], check=True)
        command = ["bwrap", "--unshare-net", "--unshare-pid", "--bind", mounted / "usr", "/usr", "--symlink"]
        command += ["usr/bin", "/bin", "--bind", mounted / "usr/etc", "/etc", "--dev", "/dev", "--proc", "/proc"]
        subprocess.run([*command, "/bin/sh", "-ec", POST], check=True)
        subprocess.run(["umount", mounted], check=True)

    def enter_package(self) -> None:
        database = self.tree / DBPATH / "rpmdb.sqlite"
        copy = database.with_name("copy")
        shutil.copyfile(database, copy)  # the checkout's is the repository's own file
        copy.rename(database)
        install(self.tree, [self.cached.prefix], TIME)
        for path in database.parent.iterdir():
            if path not in database_files(self.tree):
                path.unlink()


@contextmanager
def _untold(_: str) -> Iterator[None]:
    yield


def with_shell(repo: OSTree.Repo, base: str, rpmdb: Path) -> str:
    """The base with a shell that runs, and what goes with it."""
    repo.prepare_transaction()
    tree = OSTree.MutableTree.new_from_commit(repo, base)
    usr = lookup(tree, "usr")
    _, programs = usr.ensure_dir("bin")
    programs.set_metadata_checksum(usr.get_metadata_checksum())
    busybox = Path(shutil.which("busybox") or "busybox").read_bytes()
    programs.replace_file("sh", repo.write_regfile_inline(None, 0, 0, 0o100755, None, busybox))
    for name in ("rm",):
        programs.replace_file(name, repo.write_symlink(None, 0, 0, None, "sh"))
    for name in ("bin", "sbin"):
        tree.replace_file(name, repo.write_symlink(None, 0, 0, None, "usr/bin"))
    _, root = repo.write_mtree(tree)
    listed = GLib.Variant("a{sv}", {"rpmostree.rpmdb.pkglist": GLib.Variant("a(sssss)", package_list(rpmdb))})
    _, commit = repo.write_commit_with_time(None, "base", "", listed, root, TIME)
    repo.transaction_set_ref(None, "base", commit)
    repo.commit_transaction()
    return str(commit)


def checkout(repo: OSTree.Repo, commit: str, target: Path) -> None:
    """The commit as hardlinks."""
    options = OSTree.RepoCheckoutAtOptions()
    options.mode = OSTree.RepoCheckoutMode.NONE
    options.no_copy_fallback = True
    repo.checkout_at(options, AT_CWD, str(target), commit, None)


def commit_tree(repo: OSTree.Repo, base: str, tree: OSTree.MutableTree) -> str:
    """End the transaction with a commit of the tree."""
    _, root = repo.write_mtree(tree)
    _, commit = repo.write_commit_with_time(base, "layer", "", None, root, TIME)
    repo.transaction_set_ref(None, "layer", commit)
    repo.commit_transaction()
    return str(commit)
