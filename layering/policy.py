"""The SELinux policy that a tree carries: its files, gathered from the commits that make up the tree, and its checksum.

Read here and not by libostree's own `SePolicy.new_from_commit`, which knows one commit alone, and crashes on a
configuration that names no policy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import gi
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.commit_tree import file_info, find_path, read_bytes  # noqa: E402
from layering.errors import BaseError, ImportRefused  # noqa: E402

if TYPE_CHECKING:
    from layering.cached_package import CachedPackage

# As libostree: /etc of a commit that has no /usr/etc, else that one.
_PLACES = ("etc/selinux", "usr/etc/selinux")
_CONTEXTS = "contexts/files/file_contexts"
# All that libselinux reads beside file_contexts itself. What it finds compiled (.bin) is made from these.
_MORE_CONTEXTS = tuple(f"{_CONTEXTS}.{suffix}" for suffix in ("homedirs", "local", "subs", "subs_dist"))
_BINARY = re.compile(r"policy\.(\d+)")
_MODULE = re.compile(
    r"/usr/share/selinux/.+\.(?:pp|cil)(?:\.(?:bz2|gz|xz))?|(?:/usr)?/(?:etc|var/lib)/selinux/[^/]+/(?:active/)?modules/.+"
)

Source = tuple[OSTree.Repo, str]
"""A commit and the repository that has it."""


class PolicyBroken(BaseError):
    """The tree says that it has an SELinux policy, and the policy can't be used."""

    id = "policy-broken"


class PolicyModulesRefused(ImportRefused):
    """The package brings modules for the SELinux policy, which would have to be rebuilt before anything is labelled."""

    id = "policy-modules-refused"


@dataclass(frozen=True)
class Config:
    """What /etc/selinux/config says. enabled: enforcing or permissive. type: the policy's name, None for none."""

    enabled: bool = False
    type: str | None = None


@dataclass(frozen=True)
class Policy:
    """A tree's policy. type: its name. files: by their path below /etc/selinux/TYPE. tree: whose, for messages."""

    type: str
    files: Mapping[str, bytes]
    tree: str

    @cached_property
    def checksum(self) -> str:
        return policy_checksum(self.files)


def parse_config(text: str) -> Config:
    """The two settings of selinux_config(5) that decide on labels, read as libostree reads them. Pure."""
    enabled, name = False, None
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if key == "SELINUX" and equals:
            enabled = enabled or value.startswith(("enforcing", "permissive"))
        elif key == "SELINUXTYPE" and equals:
            name = value.strip() or None
    return Config(enabled, name)


def policy_checksum(files: Mapping[str, bytes]) -> str:
    """SHA-256, hex, over names and contents of a policy's files, whatever their order. Pure.

    libostree's own, `SePolicy.get_csum`, covers the binary policy alone: other file contexts would go unnoticed.
    """
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def read_policy(repo: OSTree.Repo, base: str, packages: Iterable[CachedPackage] = ()) -> Policy | None:
    """The policy of the tree that is this base with these packages on it, None where SELinux is off or not there.

    Raises:
        PolicyBroken: the tree is configured for a policy that it does not have.
        PolicyModulesRefused: a package brings policy modules.
        BaseError: the commit is not there or damaged.
    """
    try:
        return _read_policy(repo, base, packages)
    except GLib.Error as error:
        raise BaseError(f"The SELinux policy of commit {base} can't be read: {error.message}") from error


def _read_policy(repo: OSTree.Repo, base: str, packages: Iterable[CachedPackage]) -> Policy | None:
    packages = sorted(packages, key=lambda package: package.nevra)
    sources: list[tuple[Source, str]] = [((repo, base), place) for place in _PLACES]
    of_packages = _PLACES[1]
    sources += [((each.repo, each.commit), of_packages) for each in packages if _has(each, of_packages)]
    text = _first(sources, "config")
    config = parse_config(text.decode(errors="replace")) if text is not None else Config()
    if not config.enabled:
        return None
    tree = f"commit {base}"
    name = config.type
    if name is None or "/" in name or name in {".", ".."}:
        said = "names no SELINUXTYPE" if name is None else f"names {name!r} as SELINUXTYPE"
        raise PolicyBroken(f"The SELinux policy of {tree} can't be used: /etc/selinux/config {said}")
    for package in packages:
        _refuse_modules(package)
    contexts = _first(sources, f"{name}/{_CONTEXTS}")
    binary = max(_binaries(sources, name), default=None)
    if contexts is None or binary is None:
        missing = f"/etc/selinux/{name}/{_CONTEXTS if contexts is None else 'policy/policy.NN'}"
        raise PolicyBroken(f"The SELinux policy of {tree} can't be used: {missing} is missing")
    wanted = (_CONTEXTS, *_MORE_CONTEXTS, f"policy/policy.{binary}")
    found = {path: _first(sources, f"{name}/{path}") for path in wanted}
    return Policy(name, {path: content for path, content in found.items() if content is not None}, tree)


def _has(package: CachedPackage, place: str) -> bool:
    """Whether the package has anything there. One that is damaged is found out when it is laid, and imported again."""
    try:
        return find_path(package.repo, package.commit, place) is not None
    except GLib.Error:
        return False


def _refuse_modules(package: CachedPackage) -> None:
    module = next((path for path in package.header[rpm.RPMTAG_FILENAMES] or () if _MODULE.fullmatch(path)), None)
    if module is not None:
        raise PolicyModulesRefused(
            f"{package.nevra} brings SELinux policy modules ({module}): the base's policy would have to be rebuilt "
            "before files are labelled, which layer can't do",
            hint="Have the module in the base image.",
        )


def _first(sources: Sequence[tuple[Source, str]], path: str) -> bytes | None:
    """The file from the first tree that has it: where two differ, laying them is refused anyway."""
    contents = (read_bytes(*source, f"{place}/{path}") for source, place in sources)
    return next((content for content in contents if content is not None), None)


def _binaries(sources: Sequence[tuple[Source, str]], name: str) -> Iterable[int]:
    """The versions of the binary policies; libselinux and libostree take the highest."""
    for (repo, commit), place in sources:
        directory = find_path(repo, commit, f"{place}/{name}/policy")
        info = file_info(directory) if directory is not None else None
        if directory is None or info is None or info.get_file_type() != Gio.FileType.DIRECTORY:
            continue
        flags = Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS
        for child in directory.enumerate_children("standard::name", flags, None):
            if match := _BINARY.fullmatch(child.get_name()):
                yield int(match[1])
