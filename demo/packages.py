"""Real packages of Debian, as RPMs.

Each .deb is unpacked, its paths are merged into /usr, and rpmbuild packs the files with their own modes and
owners. Requires and Provides are those that rpm's generators read from the ELF files and the scripts, as in
any RPM distribution; Debian's own Depends are used only to know what to fetch. Maintainer scripts are left
out: the few effects of them that the base needs are made where the base is composed.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import rpm

from demo.settings import ADDED_IN_NEXT, ARCH, BASE, CACHE, LAYERABLE, DemoError, run, say

# Debian needs these to install packages, not to run them. usr-is-merged is the empty alternative to usrmerge.
NOT_CONVERTED = {"cdebconf", "debconf", "dpkg", "perl-base", "usr-is-merged", "init-system-helpers"}
# A program in one of these languages could not run on this base, so it is left out rather than its Requires.
ABSENT_INTERPRETERS = (b"perl", b"python")
DROPPED = (
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/bug",
    "usr/share/menu",
    "usr/share/zoneinfo/right",
    "usr/share/zoneinfo/posix",
    "usr/share/pkgconfig",
)
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Directories that belong to everyone; base-files owns them, as `filesystem` does on Fedora.
SHARED_DIRECTORIES = [
    "boot",
    "dev",
    "etc",
    "etc/default",
    "etc/profile.d",
    "etc/skel",
    "home",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/games",
    "usr/include",
    "usr/lib",
    "usr/lib64",
    "usr/libexec",
    "usr/local",
    "usr/sbin",
    "usr/share",
    "usr/share/bash-completion",
    "usr/share/bash-completion/completions",
    "usr/share/doc",
    "usr/share/misc",
    "usr/src",
    "var",
    "var/cache",
    "var/lib",
    "var/log",
    "var/tmp",
]
# What update-alternatives would link.
ALTERNATIVES = {"mawk": {"usr/bin/awk": "mawk"}, "debianutils": {"usr/bin/which": "which.debianutils"}}

SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: {summary}
License: See /usr/share/doc/{name}/copyright
URL: {homepage}
Vendor: Debian
Distribution: Debian packages as RPMs, for the demo of layer
{tags}
%description
{summary}
%files -f {listing}
%defattr(-,-,-,-)
"""
MACROS = {
    # The buildroot is filled beforehand: nothing to empty, strip, compress or check.
    "__spec_install_pre": "%{___build_pre}",
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
    "_build_id_links": "none",
    "_binary_payload": "w3.zstdio",
    "_buildhost": "demo",
    "use_source_date_epoch_as_buildtime": "1",
}


@dataclass(frozen=True)
class Package:
    """One RPM and what its header says about dependencies."""

    name: str
    path: Path
    requires: frozenset[str]
    provides: frozenset[str] = field(repr=False)


def fetch(names: Iterable[str]) -> list[Path]:
    """The .deb files of these packages and of all that Debian says they need, from the cache where it can."""
    wanted, debs = sorted(names), CACHE / "debs"
    note = CACHE / "debs.json"
    if note.exists():
        known = json.loads(note.read_text())
        files = [debs / file for file in known["files"]]
        if known["wanted"] == wanted and all(file.exists() for file in files):
            return files
    say("Fetching Debian packages")
    # An empty dpkg status makes apt resolve as for a machine that has nothing yet.
    options = {
        "Dir::State::status": "/dev/null",
        "Dir::Cache::archives": debs,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    shutil.rmtree(debs, ignore_errors=True)
    (debs / "partial").mkdir(parents=True)
    run(
        "apt-get",
        "-y",
        "-qq",
        "--no-install-recommends",
        "--download-only",
        *(f"-o{key}={value}" for key, value in options.items()),
        "install",
        *wanted,
        hint="\nDoes `apt-get update` help?",
    )
    files = sorted(debs.glob("*.deb"))
    note.write_text(json.dumps({"wanted": wanted, "files": [file.name for file in files]}))
    return files


def control(deb: Path) -> dict[str, str]:
    lines = run("dpkg-deb", "--field", deb).splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))


def merge_usr(root: Path) -> None:
    """Move /bin, /sbin and /lib* under /usr, with every file where the top-level links lead to."""
    for top in MERGED:
        source = root / top
        if not source.is_dir():
            continue
        for path in sorted(source.rglob("*"), reverse=True):
            target = root / "usr" / path.relative_to(root)
            if path.is_dir() and not path.is_symlink():
                target.mkdir(parents=True, exist_ok=True)
                shutil.copystat(path, target)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() and not path.readlink().is_absolute():
                # One directory deeper, a link upwards would miss; name the same file from the new place.
                leads = os.path.normpath(Path("/", path.relative_to(root)).parent / path.readlink())
                leads = f"/usr{leads}" if leads.split("/")[1] in MERGED else leads
                target.symlink_to(os.path.relpath(leads, Path("/", target.relative_to(root)).parent))
            elif not os.path.lexists(target):
                path.rename(target)
        shutil.rmtree(source)


def slim(root: Path) -> None:
    for folder in DROPPED:
        shutil.rmtree(root / folder, ignore_errors=True)
    for converters in root.glob("usr/lib/*/gconv"):
        shutil.rmtree(converters)
    for path in list(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            first = file.readline(100) if path.stat().st_mode & 0o111 else b""
        documentation = path.is_relative_to(root / "usr/share/doc") and path.name != "copyright"
        foreign = first.startswith(b"#!") and any(word in first for word in ABSENT_INTERPRETERS)
        if documentation or foreign:
            path.unlink()
    for emptied in sorted(root.glob("usr/share/doc/**/"), reverse=True):
        if not any(emptied.iterdir()):
            emptied.rmdir()


def arrange(name: str, root: Path) -> list[str]:
    """Give the buildroot the shape that an RPM distribution would give it; return what to provide besides."""
    provides = [f"/{path.relative_to(root)}" for top in ("bin", "sbin") for path in (root / top).glob("*")]
    merge_usr(root)
    slim(root)
    for link, target in ALTERNATIVES.get(name, {}).items():
        (root / link).symlink_to(target)
    if name == "base-files":
        for folder in SHARED_DIRECTORIES:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for top in ("bin", "sbin", "lib", "lib64"):
            (root / top).symlink_to(f"usr/{top}")
        # What dnf asks to know the release of a host.
        provides.append("system-release = 12")
    if name == "libc6":
        # The loader's word that it reads DT_GNU_HASH tables; every RPM distribution's glibc says so by hand.
        provides.append("rtld(GNU_HASH)")
    return provides


def file_list(name: str, root: Path) -> str:
    lines = []
    for path in sorted(root.rglob("*")):
        inside = str(path.relative_to(root))
        directory = path.is_dir() and not path.is_symlink()
        multiarch = inside.startswith("usr/lib/") and inside.endswith("-linux-gnu")
        if directory and name != "base-files" and (inside in SHARED_DIRECTORIES or multiarch):
            continue
        # Entries are globs: in place of what a glob would take specially, "?" stands for that one character.
        entry = "".join("?" if character in '\\[]{}*"' else character for character in inside)
        lines.append(f'{"%dir " if directory else ""}"/{entry}"')
    return "\n".join(lines) + "\n"


def convert(deb: Path, destination: Path, suffix: str = "") -> Path:
    """One .deb as an RPM in `destination`; a suffix to the release makes it a newer build of the same."""
    fields = control(deb)
    # [EPOCH:]UPSTREAM[-REVISION]; an upstream version may hold "-", which RPM's may not.
    upstream, dash, revision = fields["Version"].rpartition("-")
    epoch, _, version = (upstream if dash else revision).rpartition(":")
    name, version = fields["Package"], version.replace("-", "_")
    release = (revision if dash else "0") + suffix
    arch = "noarch" if fields["Architecture"] == "all" else ARCH
    made = destination / f"{name}-{version}-{release}.{arch}.rpm"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        work = Path(scratch)
        root = work / "root"
        run("dpkg-deb", "--extract", deb, root)
        # Of files only: links, and the directories they are made in, carry the time of this run.
        files = [path.lstat() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        built_by_debian = int(max(file.st_mtime for file in files))
        provides = arrange(name, root)
        for path in root.rglob("*"):
            if path.lstat().st_mtime > built_by_debian:
                os.utime(path, (built_by_debian, built_by_debian), follow_symlinks=False)
        (work / "files").write_text(file_list(name, root))
        tags = [f"Provides: {word}" for word in provides] + ([f"Epoch: {epoch}"] if epoch else [])
        (work / "spec").write_text(
            SPEC.format(
                name=name,
                version=version,
                release=release,
                tags="\n".join(tags),
                listing=work / "files",
                summary=fields["Description"],
                homepage=fields.get("Homepage", "https://www.debian.org/"),
            )
        )
        defines = MACROS | {"_topdir": str(work / "top"), "_rpmdir": scratch, "_rpmfilename": made.name}
        run(
            "rpmbuild",
            "-bb",
            "--quiet",
            "--nodeps",
            f"--target={arch}",
            f"--buildroot={root}",
            *(word for macro, value in defines.items() for word in ("--define", f"{macro} {value}")),
            work / "spec",
            env={**os.environ, "SOURCE_DATE_EPOCH": str(built_by_debian), "LC_ALL": "C.UTF-8"},
        )
        (work / made.name).rename(made)
    return made


def read(path: Path) -> Package:
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    with path.open("rb") as file:
        header = transaction.hdrFromFdno(file.fileno())
    return Package(
        header["name"],
        path,
        frozenset(header["requirename"]),
        frozenset(header["providename"]) | frozenset(header["filenames"]),
    )


class Pool:
    """All RPMs of the demo, and which of them a set of names needs."""

    def __init__(self) -> None:
        debs = [
            deb
            for deb in fetch({*BASE, *LAYERABLE, *ADDED_IN_NEXT, "usr-is-merged"})
            if deb.name.split("_")[0] not in NOT_CONVERTED
        ]
        self._debs = {deb.name.split("_")[0]: deb for deb in debs}
        # Keyed by this very file: a changed conversion never meets RPMs of the old one.
        self._folder = CACHE / f"rpms-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]}"
        if not self._folder.exists():
            say(f"Building {len(debs)} RPMs")
            for stale in CACHE.glob("rpms-*"):
                shutil.rmtree(stale)
            self._folder.mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            paths = list(workers.map(lambda deb: convert(deb, self._folder), debs))
        self.packages = {package.name: package for package in map(read, paths)}

    def newer(self, name: str) -> Path:
        """A build of the same package that rpm takes for an update."""
        return convert(self._debs[name], self._folder, suffix="+demo1")

    def closure(self, names: Iterable[str]) -> dict[str, Package]:
        """These packages and all that they need; librpm judges the result when it installs it."""
        found: dict[str, Package] = {}
        pending = list(names)
        while pending:
            package = self.packages[pending.pop()]
            if package.name in found:
                continue
            found[package.name] = package
            for capability in package.requires:
                if capability.startswith("rpmlib("):
                    continue
                givers = [one.name for one in self.packages.values() if capability in one.provides]
                if not givers:
                    raise DemoError(f"{package.name} requires {capability}, which no package provides")
                pending += [] if set(givers) & found.keys() else givers[:1]
        return found
