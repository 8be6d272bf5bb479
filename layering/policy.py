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

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.commit_tree import bytes_below, file_info, find_below, root_of  # noqa: E402
from layering.errors import BaseError  # noqa: E402
from layering.file_contexts import CONTEXTS, SUBSTITUTIONS  # noqa: E402
from layering.policy_modules import require_semodule  # noqa: E402

if TYPE_CHECKING:
    from layering.cached_package import CachedPackage

# As libostree: /etc of a commit that has no /usr/etc, else that one.
PLACES = ("etc/selinux", "usr/etc/selinux")
"""Where a tree can have /etc/selinux, the one that counts first."""
_BINARY = re.compile(r"policy\.(\d+)")

Source = tuple[OSTree.RepoFile, str]
"""The root of a tree, and where in it /etc/selinux is."""


class PolicyBroken(BaseError):
    """The tree says that it has an SELinux policy, and the policy can't be used."""

    id = "policy-broken"


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
        """See `policy_checksum`."""
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
        PolicyModulesRefused: a package brings policy modules, and there is no semodule to build them with.
        BaseError: the commit is not there or damaged.
    """
    try:
        return _read_policy(repo, base, packages)
    except GLib.Error as error:
        raise BaseError(f"The SELinux policy of commit {base} can't be read: {error.message}") from error


def policy_of_tree(root: OSTree.RepoFile, tree: str) -> Policy | None:
    """The policy of a tree that is whole, None where SELinux is off or not there. tree: what to call it.

    Raises:
        PolicyBroken: the tree is configured for a policy that it does not have.
        BaseError: the tree is damaged.
    """
    try:
        return _gather([(root, place) for place in PLACES], tree)
    except GLib.Error as error:
        raise BaseError(f"The SELinux policy of {tree} can't be read: {error.message}") from error


def _read_policy(repo: OSTree.Repo, base: str, packages: Iterable[CachedPackage]) -> Policy | None:
    packages = sorted(packages, key=lambda package: package.nevra)
    root = root_of(repo, base)
    sources: list[Source] = [(root, place) for place in PLACES]
    sources += [(found, PLACES[1]) for each in packages if (found := _root(each)) is not None]
    policy = _gather(sources, f"commit {base}")
    if policy is not None:
        require_semodule(root, packages)
    return policy


def _gather(sources: Sequence[Source], tree: str) -> Policy | None:
    text = _first(sources, "config")
    config = parse_config(text.decode(errors="replace")) if text is not None else Config()
    if not config.enabled:
        return None
    name = config.type
    if name is None or "/" in name or name in {".", ".."}:
        said = "names no SELINUXTYPE" if name is None else f"names {name!r} as SELINUXTYPE"
        raise PolicyBroken(f"The SELinux policy of {tree} can't be used: /etc/selinux/config {said}")
    contexts = _first(sources, f"{name}/{CONTEXTS[0]}")
    binary = max(_binaries(sources, name), default=None)
    if contexts is None or binary is None:
        missing = f"/etc/selinux/{name}/{CONTEXTS[0] if contexts is None else 'policy/policy.NN'}"
        raise PolicyBroken(f"The SELinux policy of {tree} can't be used: {missing} is missing")
    wanted = (*CONTEXTS, *SUBSTITUTIONS, f"policy/policy.{binary}")
    found = {path: _first(sources, f"{name}/{path}") for path in wanted}
    return Policy(name, {path: content for path, content in found.items() if content is not None}, tree)


def _root(package: CachedPackage) -> OSTree.RepoFile | None:
    """The package's tree, where it has a say in the policy. What is damaged is found out when it is laid."""
    try:
        root = root_of(package.repo, package.commit)
        return root if find_below(root, PLACES[1]) is not None else None
    except GLib.Error:
        return None


def _first(sources: Sequence[tuple[Source, str]], path: str) -> bytes | None:
    """The file from the first tree that has it: where two differ, laying them is refused anyway."""
    contents = (bytes_below(root, f"{place}/{path}") for root, place in sources)
    return next((content for content in contents if content is not None), None)


def _binaries(sources: Sequence[tuple[Source, str]], name: str) -> Iterable[int]:
    """The versions of the binary policies; libselinux and libostree take the highest."""
    for root, place in sources:
        directory = find_below(root, f"{place}/{name}/policy")
        info = file_info(directory) if directory is not None else None
        if directory is None or info is None or info.get_file_type() != Gio.FileType.DIRECTORY:
            continue
        flags = Gio.FileQueryInfoFlags.NOFOLLOW_SYMLINKS
        for child in directory.enumerate_children("standard::name", flags, None):
            if match := _BINARY.fullmatch(child.get_name()):
                yield int(match[1])
