"""What a package with a %post costs, on a base of 100,000 files that is deployed: ours against the usual way.

    .venv/bin/python bench/scripts.py [--directory DIR] [--repeat N]

Needs root, rpmbuild, busybox and the ostree command. Ours: the layered commit as `layer pkg-add` composes it, rpmdb
included, once with the base deployed and once with the checkout to be made first. The usual way, in the same run: a
checkout of the base with hardlinks, the package's files copied in, the same script in bubblewrap over rofiles-fuse, and
the whole committed again with the device/inode cache; the rpmdb's part is left out, in the peer's favour.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import gi

sys.path.insert(0, str(Path(__file__).parents[1]))
gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from bench.layer_cost import SMALL, TIME, Times, base_repo, realistic_rpmdb, timed  # noqa: E402
from journal.events import Package  # noqa: E402
from layering import logs  # noqa: E402
from layering.layer_key import layer_inputs  # noqa: E402
from layering.layered_commit import compose  # noqa: E402
from layering.lowers import base_checkout  # noqa: E402
from layering.pkgcache import PackageCache  # noqa: E402
from layering.rpmfile import read_rpm  # noqa: E402
from layering.trees import lookup  # noqa: E402
from tests.acceptance.rpms import build_rpm  # noqa: E402

FILES = 100_000
TARGET = 20
POST = """echo new > /usr/share/new
echo 'games2:x:99:99::/:/sbin/nologin' >> /etc/passwd
rm /usr/lib/p1/base-1-1 /usr/lib/p2/base-2-2
rm -r /usr/lib/p3
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    arguments.add_argument("--repeat", type=int, default=5)
    given = arguments.parse_args()
    logs.configure()
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="layer-scripts-") as name:
        run(Path(name), given.repeat)


def run(work: Path, repeat: int) -> None:
    repo, bare = base_repo(work / "repo", FILES, realistic_rpmdb(work))
    base = with_shell(repo, bare)
    deployed = work / "deployed"
    ostree(repo, "checkout", "-H", base, str(deployed))
    files = {f"/{path}": text for path, text in SMALL.items()}
    package = build_rpm(work / "rpms", "scripted", files=files, scripts={"%post": POST})
    cached = PackageCache(work / "cache/pkgcache").import_rpm(package, Package(read_rpm(package).nevra))
    times: Times = {}
    for attempt in range(repeat):
        inputs = layer_inputs(base, [cached.package], options={"run": f"{attempt}"})
        os.sync()  # both sync the file system: each its own, not what was left over
        with timed(times, "layered commit, base deployed"):
            commit = compose(repo, inputs, [cached], work, deployed={base: deployed}).commit
        with timed(times, "checkout of the base, once"):
            base_checkout(repo, base)
        shutil.rmtree(Path(repo.get_path().get_path()) / "extensions/layer/base")
        measure_peer(work, repo, base, times)
    ours, theirs = (changes(repo, base, revision) for revision in (commit, "peer"))
    assert ours - theirs <= {"/usr/share/rpm/rpmdb.sqlite", "/usr/lib/passwd"}
    assert {line for line in theirs - ours if "rpm" not in line} == set(), theirs - ours
    medians = {step: statistics.median(values) for step, values in times.items()}
    for step, value in medians.items():
        print(f"{step:40}{value:>9.3f}s")
    ratio = medians["peer"] / medians["layered commit, base deployed"]
    print(f"{'ratio':40}{ratio:>9.1f}  (target: {TARGET})")
    sys.exit(0 if ratio >= TARGET else 1)


def with_shell(repo: OSTree.Repo, base: str) -> str:
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
    _, commit = repo.write_commit_with_time(None, "base", "", None, root, TIME)
    repo.transaction_set_ref(None, "base", commit)
    repo.commit_transaction()
    return str(commit)


def measure_peer(work: Path, repo: OSTree.Repo, base: str, times: Times) -> None:
    tree, files, mounted = work / "checkout", work / "files", work / "mounted"
    for name, text in SMALL.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    mounted.mkdir()
    os.sync()
    with timed(times, "peer"):
        with timed(times, "peer: checkout -H"):
            ostree(repo, "checkout", "-H", base, str(tree))
        with timed(times, "peer: copy"):
            subprocess.run(["cp", "-a", f"{files}/.", tree], check=True)
        with timed(times, "peer: bwrap over rofiles-fuse"):
            subprocess.run(["rofiles-fuse", "--copyup", tree, mounted], check=True)
            command = ["bwrap", "--unshare-net", "--unshare-pid", "--bind", mounted / "usr", "/usr", "--symlink"]
            command += ["usr/bin", "/bin", "--bind", mounted / "usr/etc", "/etc", "--dev", "/dev", "--proc", "/proc"]
            subprocess.run([*command, "/bin/sh", "-ec", POST], check=True)
            subprocess.run(["umount", mounted], check=True)
        with timed(times, "peer: commit"):
            parent = ["-b", "peer", f"--parent={base}", f"--tree=dir={tree}", "--link-checkout-speedup", "-s", "layer"]
            ostree(repo, "commit", *parent)
    for directory in (tree, files, mounted):
        shutil.rmtree(directory)


def changes(repo: OSTree.Repo, base: str, revision: str) -> set[str]:
    return {line.split()[-1] for line in ostree(repo, "diff", base, revision).splitlines()}


def ostree(repo: OSTree.Repo, verb: str, *arguments: str) -> str:
    command = ["ostree", verb, f"--repo={repo.get_path().get_path()}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
