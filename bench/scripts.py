"""What a package with a %post costs, on a base of 100,000 files: ours against the way of rpm-ostree, in one run.

    .venv/bin/python -m bench.scripts [--directory DIR] [--repeat N]

Needs root, rpmbuild, busybox and rofiles-fuse. Both sides work in this process, on the same repository, and begin
with the package imported. Both run the same script in bubblewrap, enter the package into the base's rpmdb of 400
packages by the same call of librpm, write a commit that differs from its base in the same paths, and end with the sync
of libostree's transaction; then what they wrote is pruned.

- Ours: the layered commit as `layer pkg-add` composes it, its scratch directory in memory as there; with the base
  deployed, and without, where the first layer makes the checkout that the next ones find. What a command looks at
  once, before it downloads anything, whether overlays can be made here, is apart.
- Theirs: a checkout of the base with hardlinks, the package linked into it, the script over rofiles-fuse, the rpmdb in
  that checkout, and a commit of all of it by the device/inode cache. As the ostree command has it
  (`commit --link-checkout-speedup`), the cache is filled by a look at the repository's objects. rpm-ostree has it from
  the checkout, which Python can't: there it is filled before the clock starts, which favours them. What the daemon of
  rofiles-fuse computes is not in their processor time. As information, once, the same without the cache.

The target is for the ostree command's way. The other one again without the rpmdb, and without the sync. Wall-clock and
processor time, medians of interleaved repeats, three of ours for one of theirs.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from bench.layer_cost import SMALL, TIME, base_repo, realistic_rpmdb  # noqa: E402
from journal.events import Package  # noqa: E402
from layering.base_scripts import base_of  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.labels import UNLABELLED  # noqa: E402
from layering.layer_key import layer_inputs  # noqa: E402
from layering.layered_commit import compose  # noqa: E402
from layering.librpm import DBPATH  # noqa: E402
from layering.pkgcache import PackageCache  # noqa: E402
from layering.rpmdb import checkout_rpmdb, database_files, install, package_list  # noqa: E402
from layering.rpmfile import read_rpm  # noqa: E402
from layering.scripted import Ground, graft_and_run, scratch_for  # noqa: E402
from layering.scripts import plan_scripts  # noqa: E402
from layering.trees import lookup  # noqa: E402
from tests.acceptance.rpms import build_rpm  # noqa: E402

FILES = 100_000
TARGET = 20
MORE = 2  # runs of ours for one of theirs: it is so short that what the disk has left to do is felt
AT_CWD = -100
POST = """echo new > /usr/share/new
echo 'games2:x:99:99::/:/sbin/nologin' >> /etc/passwd
rm /usr/lib/p1/base-1-1 /usr/lib/p2/base-2-2
rm -r /usr/lib/p3
"""
OURS, THEIRS = "ours: base deployed", "theirs"
FIRST, LATER = "ours: base not deployed, first layer", "ours: base not deployed, later ones"
CHECKOUT = "one checkout of the base"
COMMAND = "theirs, with ostree commit --link-checkout-speedup"
NO_RPMDB, NO_SYNC = ", without the rpmdb", ", without the sync"
FULL_COMMIT = "theirs, commit without the cache"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    arguments.add_argument("--repeat", type=int, default=5)
    given = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.directory, prefix="layer-scripts-") as name,
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="layer-scripts-") as scratch,
    ):
        sys.exit(run(Path(name), Path(scratch), given.repeat))


def run(work: Path, scratch: Path, repeat: int) -> int:
    gc.set_threshold(100_000, 20, 20)  # as `cli.main` has it
    rpmdb = realistic_rpmdb(work)
    repo, bare = base_repo(work / "repo", FILES, rpmdb)
    base = with_shell(repo, bare, work / "rpmdb")
    checkout(repo, base, work / "deployed")
    files = {f"/{path}": text for path, text in SMALL.items()}
    package = build_rpm(work / "rpms", "scripted", files=files, scripts={"%post": POST})
    cached = PackageCache(work / "cache/pkgcache").import_rpm(package, Package(read_rpm(package).nevra))
    measured = Measured(repo, work / "tree")
    with measured.step("ours, once a command: can overlays be made?"):
        scratch_for(repo, work)
    ours = Ours(work, scratch, repo, base, cached)
    theirs = Theirs(work, repo, base, cached, measured)
    deployed = {base: work / "deployed"}
    for _ in range(repeat):
        assert measured.run(OURS, partial(ours.compose, deployed)) - {"/usr/lib/passwd"} == measured.run(
            THEIRS, theirs.compose
        )
        for _ in range(MORE):
            measured.run(OURS, partial(ours.compose, deployed))
        measured.run(COMMAND, partial(theirs.compose, scan=True, steps=False))
        ours.forget_checkout()
        measured.run(FIRST, ours.compose)
        measured.run(LATER, ours.compose)
        ours.forget_checkout()
        os.sync()
        with measured.step(CHECKOUT):
            checkout(repo, base, work / "tree")
        shutil.rmtree(work / "tree")
        measured.run(OURS + NO_RPMDB, partial(ours.scripts_only, deployed))
        measured.run(THEIRS + NO_RPMDB, partial(theirs.compose, rpmdb=False, steps=False))
        repo.set_disable_fsync(True)
        measured.run(OURS + NO_SYNC, partial(ours.compose, deployed))
        measured.run(THEIRS + NO_SYNC, partial(theirs.compose, steps=False))
        repo.set_disable_fsync(False)
    measured.run(FULL_COMMIT, partial(theirs.compose, steps=False))
    return measured.report()


class Measured:
    """Wall-clock and processor time of what is run, in seconds."""

    def __init__(self, repo: OSTree.Repo, *leftovers: Path) -> None:
        self.repo = repo
        self.leftovers = leftovers
        self.times: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started, processor = time.perf_counter(), processor_time()
        yield
        self.times[name].append((time.perf_counter() - started, processor_time() - processor))

    def run(self, name: str, work: Callable[[], object]) -> set[str]:
        """Run it on a quiet disk; returns in what the commit it made differs from its base, and drops it."""
        if name.startswith(THEIRS):
            self.repo.prepare_transaction()
            if name not in (FULL_COMMIT, COMMAND):
                self.repo.scan_hardlinks(None)
        os.sync()  # each side its own, not what was left over
        with self.step(name):
            commit = work()
        changes = changed(self.repo, str(commit))
        for left in self.leftovers:
            shutil.rmtree(left, ignore_errors=True)
        for ref in self.repo.list_refs(None, None)[1]:
            if ref != "base":
                self.repo.set_ref_immediate(None, ref, None, None)
        self.repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)
        return changes

    def report(self) -> int:
        """Print all medians; returns the exit status, 1 where the target is missed."""
        medians = {name: tuple(map(statistics.median, zip(*both, strict=True))) for name, both in self.times.items()}
        print(f"{'':55}{'seconds':>9}{'processor':>11}")
        for name, (wall, processor) in medians.items():
            print(f"{name:55}{wall:>9.3f}{processor:>11.3f}")
        pairs = [(OURS, COMMAND), *((OURS + variant, THEIRS + variant) for variant in ("", NO_RPMDB, NO_SYNC))]
        for ours, theirs in pairs:
            wall, processor = (other / own for own, other in zip(medians[ours], medians[theirs], strict=True))
            print(f"{'ratio to ' + theirs:59}{wall:>5.1f}x{processor:>10.1f}x")
        print(f"target: {TARGET}x, to {COMMAND}")
        return 0 if medians[COMMAND][0] / medians[OURS][0] >= TARGET else 1


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
    """The usual way."""

    work: Path
    repo: OSTree.Repo
    base: str
    cached: CachedPackage
    measured: Measured
    tree: Path = field(init=False)

    def __post_init__(self) -> None:
        self.tree = self.work / "tree"
        self.files = self.work / "files"  # the package's, as in rpm-ostree's cache
        for name, text in SMALL.items():
            (self.files / name).parent.mkdir(parents=True, exist_ok=True)
            (self.files / name).write_text(text)

    def compose(self, *, rpmdb: bool = True, scan: bool = False, steps: bool = True) -> str:
        step = self.measured.step if steps else _untold
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


def processor_time() -> float:
    """User and system time, seconds, of this process and its children."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


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


def changed(repo: OSTree.Repo, commit: str) -> set[str]:
    command = ["ostree", "diff", f"--repo={repo.get_path().get_path()}", "base", commit]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in listed.splitlines()}


if __name__ == "__main__":
    main()
