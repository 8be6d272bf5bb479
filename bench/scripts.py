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
from functools import partial
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from bench.layer_cost import SMALL, base_repo, realistic_rpmdb  # noqa: E402
from bench.measuring import in_directory  # noqa: E402
from bench.two_ways import POST, Ours, Theirs, checkout, with_shell  # noqa: E402
from journal.values import Package  # noqa: E402
from layering.pkgcache import PackageCache  # noqa: E402
from layering.rpmfile import read_rpm  # noqa: E402
from layering.scripted import scratch_for  # noqa: E402
from tests.acceptance.rpms import build_rpm  # noqa: E402

FILES = 100_000
TARGET = 20
MORE = 2  # runs of ours for one of theirs: it is so short that what the disk has left to do is felt
OURS, THEIRS = "ours: base deployed", "theirs"
FIRST, LATER = "ours: base not deployed, first layer", "ours: base not deployed, later ones"
CHECKOUT = "one checkout of the base"
COMMAND = "theirs, with ostree commit --link-checkout-speedup"
NO_RPMDB, NO_SYNC = ", without the rpmdb", ", without the sync"
FULL_COMMIT = "theirs, commit without the cache"


def main() -> None:
    with (
        in_directory(__doc__) as (work, given),
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="layer-scripts-") as scratch,
    ):
        sys.exit(run(work, Path(scratch), given.repeat))


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
    theirs = Theirs(work, repo, base, cached, measured.step)
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


def processor_time() -> float:
    """User and system time, seconds, of this process and its children."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def changed(repo: OSTree.Repo, commit: str) -> set[str]:
    command = ["ostree", "diff", f"--repo={repo.get_path().get_path()}", "base", commit]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in listed.splitlines()}


if __name__ == "__main__":
    main()
