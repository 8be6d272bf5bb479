"""The base's rpmdb, taken out of its commit to be read and, with the layered packages in it, committed again.

Only the database is checked out, as a private copy. It lies at /usr/share/rpm of an otherwise empty root, which librpm
enters: what the machine's own files are like has no say in the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gi
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, OSTree  # noqa: E402

from layering.commit_tree import copy_content, file_info, find_path  # noqa: E402
from layering.errors import BaseError, LayeringError  # noqa: E402
from layering.librpm import DBPATH, UNCHECKED, captured_log, clock_at, macros  # noqa: E402
from layering.rpmfile import header_of, nevra_of, prefix_file  # noqa: E402

PLACES = (DBPATH, "usr/lib/sysimage/rpm")
"""Where a base may keep it; one is often a link to the other."""
# What librpm leaves beside the database and makes anew when it is opened for writing.
LEFTOVERS = frozenset({"rpmdb.sqlite-wal", "rpmdb.sqlite-shm", ".rpm.lock", ".dbenv.lock"})
# Macros of the host that would find their way into the database.
_MACROS = {
    "_dbpath": f"/{DBPATH}",
    "_install_langs": "all",
    "_netsharedpath": "%{nil}",
    "_pkgverify_level": "none",
    "_transaction_color": "3",
    "_prefer_color": "2",
}
_FLAGS = (
    rpm.RPMTRANS_FLAG_JUSTDB
    | rpm.RPMTRANS_FLAG_NOSCRIPTS
    | rpm.RPMTRANS_FLAG_NOTRIGGERS
    | rpm.RPMTRANS_FLAG_NOPRETRANS
    | rpm.RPMTRANS_FLAG_NOPOSTTRANS
    | rpm.RPMTRANS_FLAG_NOPLUGINS
    | rpm.RPMTRANS_FLAG_NOCAPS
)
# What graft and resolver have to say about conflicts, librpm does not repeat.
_NO_PROBLEMS = (
    rpm.RPMPROB_FILTER_IGNOREOS
    | rpm.RPMPROB_FILTER_IGNOREARCH
    | rpm.RPMPROB_FILTER_REPLACEPKG
    | rpm.RPMPROB_FILTER_FORCERELOCATE
    | rpm.RPMPROB_FILTER_REPLACENEWFILES
    | rpm.RPMPROB_FILTER_REPLACEOLDFILES
    | rpm.RPMPROB_FILTER_OLDPACKAGE
    | rpm.RPMPROB_FILTER_DISKSPACE
    | rpm.RPMPROB_FILTER_DISKNODES
    | rpm.RPMPROB_FILTER_VERIFY
)
_ALL_COLOURS, _PREFERRED_COLOUR = 3, 2

Found = TypeVar("Found")

PackageTuple = tuple[str, str, str, str, str]
"""Name, epoch, version, release and architecture."""


def rpmdb_directory(repo: OSTree.Repo, commit: str) -> str:
    """Where the commit keeps its rpmdb, relative to its root, links followed.

    Raises:
        BaseError: it has none.
    """
    for place in PLACES:
        directory = find_path(repo, commit, place)
        info = file_info(directory) if directory is not None else None
        if directory is not None and info is not None and info.get_file_type() == Gio.FileType.DIRECTORY:
            return str(directory.get_path()).removeprefix("/")
    raise BaseError(f"commit {commit} has no rpmdb: it is not an image made of RPMs")


def checkout_rpmdb(repo: OSTree.Repo, commit: str, root: Path) -> Path:
    """Copy the commit's rpmdb to /usr/share/rpm below `root` and return that directory.

    Raises:
        BaseError: the commit has none.
    """
    directory = rpmdb_directory(repo, commit)
    _, tree, _ = repo.read_commit(commit)
    target = root / DBPATH
    target.mkdir(parents=True, exist_ok=True)
    for file, info in _children(tree.resolve_relative_path(directory)):
        if info.get_file_type() == Gio.FileType.REGULAR and info.get_name() not in LEFTOVERS:
            _copy(repo, file.get_checksum(), target / info.get_name())
    return target


def database_files(root: Path) -> list[Path]:
    """The files below `root` that make up the database, sorted, without what librpm makes anew."""
    return sorted(path for path in (root / DBPATH).iterdir() if path.is_file() and path.name not in LEFTOVERS)


def installed(root: Path) -> list[str]:
    """The NEVRAs of all installed packages, sorted; imported keys are none."""
    return sorted(nevra_of(header) for header in _headers(root) if header["arch"])


def package_list(root: Path) -> list[PackageTuple]:
    """All installed packages, sorted."""
    return sorted(package_tuple(header) for header in _headers(root) if header["arch"])


def package_tuple(header: rpm.hdr) -> PackageTuple:
    """The package, as rpm-ostree lists it."""
    return (header["name"], str(header["epoch"] or 0), header["version"], header["release"], header["arch"])


def owner_of(root: Path, path: str) -> tuple[str, int] | None:
    """The NEVRA of the installed package that owns an absolute path, and the file's colour there: 1 for ELF32, 2 for
    ELF64, else 0. None where none owns it."""

    def read(transaction: rpm.TransactionSet) -> tuple[str, int] | None:
        for header in transaction.dbMatch(rpm.RPMDBI_INSTFILENAMES, path):
            colours = [int(file.color) for file in rpm.files(header) if file.name == path]
            return nevra_of(header), (colours or [0])[0]
        return None

    return read_database(root, read)


def install(root: Path, prefixes: Sequence[bytes], timestamp: int) -> None:
    """Enter packages into the database below `root`, in the order of their NEVRAs, in one transaction.

    The same packages and timestamp give the same bytes. No script runs and no file is touched. Needs root, for librpm
    to enter `root`.

    Args:
        prefixes: of their RPMs, up to the payload.
        timestamp: when they are said to have been installed, seconds since the epoch.

    Raises:
        LayeringError: librpm's reason.
    """
    packages = sorted(((header_of(prefix), prefix) for prefix in prefixes), key=lambda pair: nevra_of(pair[0]))
    problems: list[Any] | None = None
    reason = ""
    with captured_log() as log, clock_at(timestamp), macros(_MACROS):
        try:
            # The clock and the macros are read when the transaction set is made.
            transaction = rpm.TransactionSet(str(root.absolute()))
            transaction.setVSFlags(UNCHECKED)
            transaction.setVfyLevel(0)
            transaction.setColor(_ALL_COLOURS)
            transaction.setPrefColor(_PREFERRED_COLOUR)
            transaction.setFlags(_FLAGS)
            transaction.setProbFilter(_NO_PROBLEMS)
            for index, (header, _) in enumerate(packages):
                transaction.addInstall(header, index, "i")
            with _opened(packages) as callback:
                problems = transaction.run(callback, "")
            transaction.closeDB()
        except rpm.error as error:
            reason = str(error) or "unknown error"
    # None is success; librpm reports a failure that is nobody's problem in particular as an empty list.
    if reason or problems is not None:
        said = "; ".join(str(problem[0]) for problem in problems or []) or log.text or reason or "unknown error"
        raise LayeringError(f"librpm could not enter the packages into the base's database: {said}")
    _settle(root / DBPATH)


def _settle(directory: Path) -> None:
    """Let the database be read where nothing can be written beside it, as in the read-only /usr of a booted host.

    librpm writes it with a write-ahead log, without which SQLite opens it no more. Bytes 18 and 19 say so
    (https://www.sqlite.org/fileformat2.html#file_format_version_numbers).

    Raises:
        LayeringError: a part of it is in the log, which is not committed.
    """
    log = directory / "rpmdb.sqlite-wal"
    if log.exists() and log.stat().st_size:
        raise LayeringError(f"librpm did not finish writing its database: {log} is not empty")
    if (database := directory / "rpmdb.sqlite").exists():
        with database.open("r+b") as file:
            file.seek(18)
            file.write(b"\x01\x01")


@contextmanager
def _opened(packages: Sequence[tuple[rpm.hdr, bytes]]) -> Iterator[Callable[..., int | None]]:
    """librpm's callback: it asks for each package as a file, which ends where the payload would begin."""
    files: dict[int, Any] = {}

    def callback(what: int, _amount: int, _total: int, key: int, _data: object) -> int | None:
        if what == rpm.RPMCALLBACK_INST_OPEN_FILE:
            files[key] = prefix_file(packages[key][1])
            return int(files[key].__enter__().fileno())
        if what == rpm.RPMCALLBACK_INST_CLOSE_FILE:
            files.pop(key).__exit__(None, None, None)
        return None

    try:
        yield callback
    finally:
        for file in files.values():
            file.__exit__(None, None, None)


def _headers(root: Path) -> list[rpm.hdr]:
    return read_database(root, lambda transaction: list(transaction.dbMatch()))


def read_database(root: Path, read: Callable[[rpm.TransactionSet], Found]) -> Found:
    """What `read` finds in the database below `root`.

    Raises:
        LayeringError: it can't be read.
    """
    reason = ""
    with captured_log() as log, macros(_MACROS):
        try:
            transaction = rpm.TransactionSet(str(root.absolute()))
            transaction.setVSFlags(UNCHECKED)
            found = read(transaction)
            transaction.closeDB()
        except rpm.error as error:
            reason = str(error) or "unknown error"
    if reason:
        raise LayeringError(f"the base's rpmdb can't be read: {log.text or reason}")
    return found


def _children(directory: Gio.File) -> Iterator[tuple[OSTree.RepoFile, Gio.FileInfo]]:
    flags = Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS
    for info in directory.enumerate_children("standard::*", flags, None):
        yield directory.get_child(info.get_name()), info


def _copy(repo: OSTree.Repo, checksum: str, target: Path) -> None:
    _, content, _, _ = repo.load_file(checksum)
    with target.open("wb") as file:
        os.fchmod(file.fileno(), 0o644)
        copy_content(content, file)
