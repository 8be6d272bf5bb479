"""What a layer costs, on a base of 10,000 and of 100,000 files: cost has to follow the change, not the base.

    .venv/bin/python -m bench.layer_cost [--directory DIR] [--repeat N]

Needs root, rpmbuild and the ostree command. Both bases have an rpmdb of 400 packages. Measured are the import of a
package of 50 files, the layered commit in its steps, and the same done the usual way in the same run: a checkout of
the base with hardlinks, the files copied in, the whole committed again with the device/inode cache.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, OSTree  # noqa: E402

from bench.measuring import in_directory  # noqa: E402
from journal.values import Package  # noqa: E402
from layering import layered_commit  # noqa: E402
from layering.layer_key import layer_inputs  # noqa: E402
from layering.layered_commit import compose  # noqa: E402
from layering.librpm import DBPATH  # noqa: E402
from layering.pkgcache import PackageCache  # noqa: E402
from layering.rpmdb import database_files, install  # noqa: E402
from layering.rpmfile import read_rpm  # noqa: E402
from layering.trees import metadata_checksum  # noqa: E402

BASES = (10_000, 100_000)
RPMDB_PACKAGES = 400
FILES_EACH = 250
PACKAGE_FILES = 50
BIG_PACKAGE_FILES = 20_000
SMALL = {f"usr/share/small/d{i % 5}/f{i}": f"{i}" for i in range(PACKAGE_FILES)}
TIME = 1_700_000_000
STEPS = ("checkout_rpmdb", "graft", "install", "layer_metadata")

NOTHING: Mapping[str, str] = {}

Times = dict[str, list[float]]


def main() -> None:
    with in_directory(__doc__) as (work, given):
        run(work, given.repeat)


def run(work: Path, repeat: int) -> None:
    rpmdb = realistic_rpmdb(work)
    small = build(work, "small", SMALL)
    big = build(work, "big", {f"usr/share/big/d{i // 100}/f{i}": f"{i}" for i in range(BIG_PACKAGE_FILES)})
    medians: dict[int, dict[str, float]] = {}
    for count in BASES:
        repo, base = base_repo(work / f"repo-{count}", count, rpmdb)
        times: Times = {}
        for attempt in range(repeat):
            measure_layer(work, repo, base, small, times=times, name=f"{count}-{attempt}")
        measure_peer(work, repo, base, times)
        big_times: Times = {}
        measure_layer(work, repo, base, big, times=big_times, name=f"{count}-big")
        times |= {f"20,000 files: {step}": big_times[step] for step in ("import", "compose")}
        medians[count] = {step: statistics.median(values) for step, values in times.items()}
    small_base, large_base = (medians[count] for count in BASES)
    print(f"{'step':32}{BASES[0]:>12,}{BASES[1]:>12,}{'ratio':>8}")
    for step, value in small_base.items():
        print(f"{step:32}{value:>11.4f}s{large_base[step]:>11.4f}s{large_base[step] / value:>8.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def measure_layer(work: Path, repo: OSTree.Repo, base: str, package: Path, *, times: Times, name: str) -> None:
    """Import into an empty cache and lay onto the base, as if for the first time."""
    directory = work / f"cache-{name}"
    cache = PackageCache(directory / "pkgcache")
    with timed(times, "import"):
        cached = cache.import_rpm(package, Package(read_rpm(package).nevra))
    inputs = layer_inputs(base, [cached.package], options={"run": name})
    with steps_timed(times), timed(times, "compose"):
        composed = compose(repo, inputs, [cached], work)
    with timed(times, "compose again (reuse)"):
        assert compose(repo, inputs, [cached], work).reused
    repo.set_ref_immediate(None, f"layer/key/{composed.key}", None, None)
    shutil.rmtree(directory)
    repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)


def measure_peer(work: Path, repo: OSTree.Repo, base: str, times: Times) -> None:
    """The same by checkout, copy and full commit; the rpmdb's part is left out, in the peer's favour."""
    path = repo.get_path().get_path()
    tree, files = work / "checkout", work / "files"
    for name, text in SMALL.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    with timed(times, "peer"):
        with timed(times, "peer: checkout -H"):
            subprocess.run(["ostree", f"--repo={path}", "checkout", "-H", base, tree], check=True)
        with timed(times, "peer: copy"):
            subprocess.run(["cp", "-a", f"{files}/.", tree], check=True)
        with timed(times, "peer: commit"):
            command = ["ostree", f"--repo={path}", "commit", "-b", "peer", f"--parent={base}", f"--tree=dir={tree}"]
            subprocess.run([*command, "--link-checkout-speedup", "-s", "layer"], check=True, capture_output=True)
    shutil.rmtree(tree)
    shutil.rmtree(files)


@contextmanager
def timed(times: Times, step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    times.setdefault(step, []).append(time.perf_counter() - started)


@contextmanager
def steps_timed(times: Times) -> Iterator[None]:
    """Time the steps of `compose` from outside."""
    originals = {step: getattr(layered_commit, step) for step in STEPS}

    def wrapped(step: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            with timed(times, f"  {step.strip('_')}"):
                return original(*arguments, **named)

        return call

    for step, original in originals.items():
        setattr(layered_commit, step, wrapped(step, original))
    try:
        yield
    finally:
        for step, original in originals.items():
            setattr(layered_commit, step, original)


def base_repo(path: Path, count: int, rpmdb: Path, more: Mapping[str, str] = NOTHING) -> tuple[OSTree.Repo, str]:
    """A repository with one base commit of `count` files, and of some more whose content matters."""
    repo = OSTree.Repo.new(Gio.File.new_for_path(str(path)))
    repo.create(OSTree.RepoMode.BARE)
    repo.prepare_transaction()
    metadata = metadata_checksum(repo, 0o755)
    root = OSTree.MutableTree.new()
    root.set_metadata_checksum(metadata)

    def put(name: str, data: bytes) -> None:
        tree = root
        *parents, last = name.split("/")
        for parent in parents:
            _, tree = tree.ensure_dir(parent)
            if not tree.get_metadata_checksum():
                tree.set_metadata_checksum(metadata)
        tree.replace_file(last, repo.write_regfile_inline(None, 0, 0, 0o100644, None, data))

    for index in range(count):
        put(base_path(index % RPMDB_PACKAGES, index // RPMDB_PACKAGES), f"{count} {index}".encode())
    for name, text in more.items():
        put(name, text.encode())
    put("usr/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
    put(f"{DBPATH}/rpmdb.sqlite", rpmdb.read_bytes())
    _, tree = repo.write_mtree(root)
    _, commit = repo.write_commit_with_time(None, "base", "", None, tree, TIME)
    repo.transaction_set_ref(None, "base", commit)
    repo.commit_transaction()
    return repo, commit


def base_path(package: int, index: int) -> str:
    """Base names are distinct, as most are: librpm looks up each of a new package's in the database."""
    return f"usr/lib/p{package}/base-{package}-{index}"


def realistic_rpmdb(work: Path) -> Path:
    """An rpmdb of 400 packages that own 100,000 files between them."""
    files = {
        f"p{package}": [base_path(package, index) for index in range(FILES_EACH)] for package in range(RPMDB_PACKAGES)
    }
    out = rpmbuild(work, "base", {path: "" for paths in files.values() for path in paths}, files)
    root = work / "rpmdb"
    (root / DBPATH).mkdir(parents=True)
    install(root, [read_rpm(path).prefix for path in out.glob("*.rpm")], TIME)
    (database,) = database_files(root)
    return database


def build(work: Path, name: str, files: dict[str, str]) -> Path:
    (package,) = rpmbuild(work, name, files, {name: list(files)}).glob("*.rpm")
    return package


def rpmbuild(work: Path, name: str, contents: dict[str, str], packages: dict[str, list[str]]) -> Path:
    """Build all packages with one spec."""
    top, root, out = work / f"build-{name}", work / f"build-{name}/root", work / f"rpms-{name}"
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    spec = ["Name: source", "Version: 1", "Release: 1", "Summary: s", "License: MIT", "BuildArch: noarch"]
    spec += ["%description", "d"]
    for package, paths in packages.items():
        spec += [
            f"%package -n {package}",
            "Summary: s",
            "AutoReqProv: no",
            f"%description -n {package}",
            "d",
            f"%files -n {package}",
        ]
        spec += [f"/{path}" for path in paths]
    (top / "source.spec").write_text("\n".join(spec) + "\n")
    macros = {"_topdir": top, "_rpmdir": out, "_rpmfilename": "%%{NAME}.rpm", "_binary_payload": "w1.gzdio"}
    macros |= {"debug_package": "%{nil}", "__check_files": "%{nil}", "_dbpath": top / "rpmdb"}
    command = ["rpmbuild", "-bb", "--quiet", "--buildroot", str(root)]
    command += [part for key, value in macros.items() for part in ("--define", f"{key} {value}")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(TIME)}
    subprocess.run([*command, str(top / "source.spec")], env=environment, check=True, capture_output=True)
    shutil.rmtree(top)
    return out


if __name__ == "__main__":
    main()
