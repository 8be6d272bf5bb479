"""Real RPMs for tests: a spec is generated and rpmbuild makes the package, bit for bit the same each time."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import rpm

BUILD_TIME = 1_700_000_000
CACHE_VARIABLE = "LAYER_TEST_CACHE"


@dataclass(frozen=True, slots=True)
class File:
    """One path of a package. Without a mode: 0755 for directories and what lies in a bin directory, else 0644.

    A hardlink takes everything from the file it links to; the payload is where rpmbuild puts it, on the last.
    """

    content: str | bytes = b""
    mode: int | None = None
    user: str = "root"
    group: str = "root"
    caps: str = ""
    symlink: str = ""
    hardlink_to: str = ""
    config: bool = False
    ghost: bool = False
    directory: bool = False
    zeros: int = 0  # bytes after the content, on the disk of no size
    device: str = ""  # as %dev takes it: "c,1,3"
    directives: str = ""  # of %files, as they are: "%doc", "%verify(not size)"

    @property
    def data(self) -> bytes:
        return self.content.encode() if isinstance(self.content, str) else self.content

    def permissions(self, path: str) -> int:
        if self.mode is not None:
            return self.mode
        executable = self.directory or PurePosixPath(path).parent.name in {"bin", "sbin", "libexec"}
        return 0o755 if executable else 0o644


Files = Mapping[str, File | str | bytes]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Everything that a built package is a function of; its repr is the key of the cache."""

    name: str
    version: str
    release: str
    epoch: int | None
    arch: str
    files: tuple[tuple[str, File], ...]
    tags: tuple[tuple[str, str], ...]
    scripts: tuple[tuple[str, str], ...]
    build_time: int
    autoreqprov: bool
    payload: str

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    @property
    def key(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


def cache_directory() -> Path:
    """Where built packages and composed bases are kept: as long as the test session, shared by its workers."""
    if CACHE_VARIABLE not in os.environ:
        directory = tempfile.mkdtemp(prefix="layer-test-cache-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        os.environ[CACHE_VARIABLE] = directory
    return Path(os.environ[CACHE_VARIABLE])


def build_rpm(
    directory: Path,
    name: str,
    version: str = "1.0",
    release: str = "1",
    *,
    epoch: int | None = None,
    arch: str = "noarch",
    files: Files | None = None,
    requires: Iterable[str] = (),
    provides: Iterable[str] = (),
    conflicts: Iterable[str] = (),
    obsoletes: Iterable[str] = (),
    recommends: Iterable[str] = (),
    supplements: Iterable[str] = (),
    scripts: Mapping[str, str] | None = None,
    build_time: int = BUILD_TIME,
    autoreqprov: bool = False,
    payload: str = "w3.zstdio",
) -> Path:
    """Put the package into `directory` and return its path. The same arguments give the same bytes.

    `scripts` maps a section line of the spec to its body: `{"%post": "echo hi", "%triggerin -- foo": ":"}`.
    """
    relations = {
        "Requires": requires,
        "Provides": provides,
        "Conflicts": conflicts,
        "Obsoletes": obsoletes,
        "Recommends": recommends,
        "Supplements": supplements,
    }
    recipe = _Recipe(
        name=name,
        version=version,
        release=release,
        epoch=epoch,
        arch=arch,
        files=tuple((path, file if isinstance(file, File) else File(file)) for path, file in (files or {}).items()),
        tags=tuple((tag, value) for tag, values in relations.items() for value in values),
        scripts=tuple((scripts or {}).items()),
        build_time=build_time,
        autoreqprov=autoreqprov,
        payload=payload,
    )
    built = cache_directory() / "rpms" / recipe.key / recipe.filename
    if not built.exists():
        _build(recipe, built.parent)
    directory.mkdir(parents=True, exist_ok=True)
    # The directory may be shared: another worker must never read half a package.
    part = directory / f".{recipe.filename}.{os.getpid()}"
    shutil.copy2(built, part)
    return part.replace(directory / recipe.filename)


def _build(recipe: _Recipe, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix="build-") as temporary:
        work = Path(temporary)
        out = work / "out"
        _lay_out(recipe, work / "root")
        spec = work / "package.spec"
        spec.write_text(_spec(recipe))
        macros = {
            "_topdir": str(work),
            "_rpmdir": str(out),
            "_dbpath": str(work / "rpmdb"),
            "_rpmfilename": recipe.filename,
            "_buildhost": "builder.example",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
            "_binary_payload": recipe.payload,
            "_build_id_links": "none",
            "debug_package": "%{nil}",
            "__check_files": "%{nil}",
        }
        command = ["rpmbuild", "-bb", "--quiet", "--target", recipe.arch, "--buildroot", str(work / "root")]
        command += [part for name, value in macros.items() for part in ("--define", f"{name} {value}")]
        environment = {**os.environ, "HOME": str(work), "SOURCE_DATE_EPOCH": str(recipe.build_time)}
        done = subprocess.run([*command, str(spec)], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rpmbuild of {recipe.filename} failed:\n{done.stdout}{done.stderr}\n{_spec(recipe)}")
        _check(out / recipe.filename, recipe)
        try:
            out.rename(destination)
        except OSError:  # another worker was faster, with the same bytes
            if not destination.exists():
                raise


def _lay_out(recipe: _Recipe, root: Path) -> None:
    root.mkdir()
    for path, file in recipe.files:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.directory:
            target.mkdir(exist_ok=True)
        elif file.symlink:
            target.symlink_to(file.symlink)
        elif file.hardlink_to:
            target.hardlink_to(root / file.hardlink_to.lstrip("/"))
        else:
            target.write_bytes(file.data)
            os.truncate(target, len(file.data) + file.zeros)
    for path, _ in reversed(recipe.files):
        when = (recipe.build_time, recipe.build_time)
        os.utime(root / path.lstrip("/"), when, follow_symlinks=False)


def _spec(recipe: _Recipe) -> str:
    lines = [
        f"Name: {recipe.name}",
        f"Version: {recipe.version}",
        f"Release: {recipe.release}",
        *([] if recipe.epoch is None else [f"Epoch: {recipe.epoch}"]),
        f"Summary: The {recipe.name} package",
        "License: MIT",
        *(["BuildArch: noarch"] if recipe.arch == "noarch" else []),
        *([] if recipe.autoreqprov else ["AutoReqProv: no"]),
        *(f"{tag}: {_literal(value)}" for tag, value in recipe.tags),
        "%description",
        f"The {recipe.name} package, built for a test.",
    ]
    for section, body in recipe.scripts:
        lines += [section, _literal(body)]
    files = dict(recipe.files)
    return "\n".join([*lines, "%files", *(_file_line(path, files) for path in files)]) + "\n"


def _file_line(path: str, files: Mapping[str, File]) -> str:
    file = files[path]
    source = files[file.hardlink_to] if file.hardlink_to else file
    mode = "-" if file.symlink else f"{source.permissions(file.hardlink_to or path):04o}"
    words = [
        f"%attr({mode},{source.user},{source.group})",
        f"%caps({source.caps})" if source.caps else "",
        "%config(noreplace)" if file.config else "",
        "%ghost" if file.ghost else "",
        "%dir" if file.directory else "",
        f"%dev({file.device})" if file.device else "",
        file.directives,
        f'"{_glob(path)}"',
    ]
    return " ".join(word for word in words if word)


def _glob(path: str) -> str:
    """The path as %files reads it: plain in quotes, else a pattern with a wildcard for all that it can't spell."""
    if re.search(r'[\\*?\[\]{}"%]', path):
        return re.sub(r"[\s\\*?\[\]{}\"'%]", "?", path)
    return path


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _check(path: Path, recipe: _Recipe) -> None:
    packaged = sorted(header(path)[rpm.RPMTAG_FILENAMES])
    asked = sorted(name for name, _ in recipe.files)
    if packaged != asked:
        raise RuntimeError(f"{path.name} holds {packaged}, asked for was {asked}")


def header(path: Path) -> rpm.hdr:
    """The header of a package file, its signature unchecked."""
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES | rpm.RPMVSF_MASK_NODIGESTS)
    with path.open("rb") as file:
        return transaction.hdrFromFdno(file.fileno())


def nevra(path: Path) -> str:
    """The package's name as rpm prints it; the epoch is there only where the package has one."""
    return str(header(path).sprintf("%{NEVRA}"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def corrupt(path: Path) -> None:
    """Change a byte of the package's payload in place, the size kept."""
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(data)


@dataclass(slots=True)
class SigningKey:
    """A fresh OpenPGP key in a GnuPG home of its own, for as long as the context lasts."""

    owner: str = "Test <test@example.com>"
    home: Path = field(init=False)

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))  # short: the agent's socket lies in it
        self._gpg("--passphrase", "", "--quick-generate-key", self.owner, "rsa2048", "sign", "never")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def export(self, path: Path) -> Path:
        """Write the public key, armored, as `gpgkey=` wants it."""
        path.write_bytes(self._gpg("--armor", "--export", self.owner))
        return path

    def sign(self, package: Path) -> None:
        """Sign the package in place."""
        macros = {"_gpg_name": self.owner, "_gpg_path": str(self.home), "__gpg": shutil.which("gpg") or "gpg"}
        defines = [part for name, value in macros.items() for part in ("--define", f"{name} {value}")]
        subprocess.run(["rpmsign", *defines, "--addsign", str(package)], check=True, capture_output=True)

    def _gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout
