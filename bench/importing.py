"""What importing several packages costs, one after the other and side by side.

    .venv/bin/python -m bench.importing [--directory DIR] [--repeat N]

Sixty packages of 40 small files each, four of 25 MiB each compressed with xz and with zstd, and two small ones, which
must not get slower; each imported into an empty cache by one process and, in the same run, by as many as there are
processors. All have to end in the same commits.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dnf  # noqa: F401 - it is there whenever packages are imported, and makes forks larger

from bench.measuring import in_directory
from journal.values import Package
from layering.parallel import processors
from layering.pkgcache import PackageCache
from layering.rpmfile import read_rpm

WORDS = 5_000
SMALL_FILE = 10_000  # bytes, and four times as much at most
BIG_FILE = 4_500_000


def main() -> None:
    with in_directory(__doc__) as (work, given):
        run(work, given.repeat)


def run(work: Path, repeat: int) -> None:
    small = build(work, "small", packages=60, files=40, size=SMALL_FILE, payload="w3.zstdio")
    cases = {
        "60 packages of 40 files": small,
        "4 of 25 MiB, xz": build(work, "xz", packages=4, files=6, size=BIG_FILE, payload="w2.xzdio"),
        "4 of 25 MiB, zstd": build(work, "zstd", packages=4, files=6, size=BIG_FILE, payload="w3.zstdio"),
        "2 packages of 40 files": small[:2],
    }
    print(f"{'':28}{'one':>9}{processors():>8}{'ratio':>8}{'as it is chosen':>18}")
    for title, paths in cases.items():
        times: dict[int | None, list[float]] = {1: [], processors(): [], None: []}
        commits = set()
        for _ in range(repeat):
            for processes, measured in times.items():
                seconds, made = imported(work / "cache", paths, processes)
                measured.append(seconds)
                commits.add(made)
        assert len(commits) == 1, "the commits differ"
        one, several, chosen = (statistics.median(values) for values in times.values())
        print(f"{title:28}{one:>8.3f}s{several:>7.3f}s{one / several:>8.2f}{chosen:>17.3f}s")


def imported(directory: Path, paths: list[Path], processes: int | None) -> tuple[float, frozenset[str]]:
    files = {Package(read_rpm(path).nevra): path for path in paths}
    cache = PackageCache(directory / "pkgcache")
    started = time.perf_counter()
    with closing(cache.import_rpms(files, processes=processes)) as done:
        commits = frozenset(cached.commit for _, cached in done)
    seconds = time.perf_counter() - started
    shutil.rmtree(directory)
    return seconds, commits


def build(work: Path, name: str, *, packages: int, files: int, size: int, payload: str) -> list[Path]:
    """Packages of text, a third of each file as incompressible as programs are."""
    chance = random.Random(name)
    words = [bytes(chance.choices(range(97, 123), k=chance.randint(3, 9))) for _ in range(WORDS)]
    top, out = work / f"build-{name}", work / f"rpms-{name}"
    lines = ["Name: source", "Version: 1", "Release: 1", "Summary: s", "License: MIT", "BuildArch: noarch"]
    lines += ["%description", "d"]
    for package in range(packages):
        lines += [f"%package -n {name}{package}", "Summary: s", f"%description -n {name}{package}", "d"]
        lines += [f"%files -n {name}{package}", f"/usr/share/{name}{package}"]
        for index in range(files):
            path = top / f"root/usr/share/{name}{package}/f{index}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(content(chance, words, size)))
    (top / "source.spec").write_text("\n".join(lines) + "\n")
    macros = {"_topdir": top, "_rpmdir": out, "_rpmfilename": "%%{NAME}.rpm", "_binary_payload": payload}
    macros |= {"debug_package": "%{nil}", "__check_files": "%{nil}", "_dbpath": top / "rpmdb"}
    command = ["rpmbuild", "-bb", "--quiet", "--buildroot", str(top / "root"), str(top / "source.spec")]
    command += [part for key, value in macros.items() for part in ("--define", f"{key} {value}")]
    subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}, check=True, capture_output=True)
    shutil.rmtree(top)
    return sorted(out.glob("*.rpm"))


def content(chance: random.Random, words: list[bytes], size: int) -> Iterator[bytes]:
    size = size if size > SMALL_FILE else chance.randint(size // 10, size * 2)
    text = b" ".join(chance.choices(words, k=1_000))
    yield from (text for _ in range(size * 2 // 3 // len(text)))
    yield chance.randbytes(size // 3)


if __name__ == "__main__":
    main()
