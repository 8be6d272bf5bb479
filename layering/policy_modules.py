"""Packages that bring modules for the SELinux policy: which they are, and what makes a policy of their modules.

Most leave their modules below /usr/share/selinux, and a script of theirs runs semodule(8), which builds the policy even
where it loads none (`-n`). Others have files in the module store itself, where nobody looks before it is built again.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import gi
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.commit_tree import find_below  # noqa: E402
from layering.errors import ImportRefused  # noqa: E402
from layering.rpmfile import nevra_of  # noqa: E402
from layering.scripts import Script  # noqa: E402

if TYPE_CHECKING:
    from layering.cached_package import CachedPackage

REBUILD = Script(package="SELinux policy", name="semodule", program=("semodule", "-n", "-B"), body="")
"""Builds the policy from all modules of the store, by the tree's own semodule. There is no kernel to load it into."""

_SEMODULE = ("usr/sbin/semodule", "usr/bin/semodule")
_SHARED = re.compile(r"/usr/share/selinux/.+\.(?:pp|cil)(?:\.(?:bz2|gz|xz))?")
# /var/lib/selinux is no part of an image, whose store lies in /etc; but packages name their modules there, as ghosts.
_STORE = re.compile(r"(?:/usr)?/etc/selinux/[^/]+/(?:active/)?modules/.+")
_GHOSTS = re.compile(r"/var/lib/selinux/[^/]+/(?:active/)?modules/.+")


class PolicyModulesRefused(ImportRefused):
    """A package brings modules for the SELinux policy, and the tree has nothing to build them with."""

    id = "policy-modules-refused"


def module_of(header: rpm.hdr) -> str | None:
    """The first module that a package brings, None where it brings none. Pure."""
    paths = header[rpm.RPMTAG_FILENAMES] or ()
    patterns = (_SHARED, _STORE, _GHOSTS)
    return next((path for path in paths if any(pattern.fullmatch(path) for pattern in patterns)), None)


def goes_into_store(header: rpm.hdr) -> bool:
    """Whether a package has files in the module store, ghosts aside: no script has to put them there. Pure."""
    flags = header[rpm.RPMTAG_FILEFLAGS] or ()
    pairs = zip(header[rpm.RPMTAG_FILENAMES] or (), flags, strict=True)
    return any(_STORE.fullmatch(path) and not flag & rpm.RPMFILE_GHOST for path, flag in pairs)


def modules_first(headers: Sequence[rpm.hdr]) -> list[rpm.hdr]:
    """Packages that bring modules, with what these need, before all others; else in the order given. Pure."""
    owners: defaultdict[str, list[int]] = defaultdict(list)
    for index, header in enumerate(headers):
        for name in (*(header[rpm.RPMTAG_PROVIDENAME] or ()), *(header[rpm.RPMTAG_FILENAMES] or ())):
            owners[name].append(index)
    first: set[int] = set()
    pending = deque(index for index, header in enumerate(headers) if module_of(header))
    while pending:
        index = pending.popleft()
        if index not in first:
            first.add(index)
            pending += [owner for name in headers[index][rpm.RPMTAG_REQUIRENAME] or () for owner in owners[name]]
    return [headers[index] for index in (*sorted(first), *sorted(set(range(len(headers))) - first))]


def require_semodule(base: OSTree.RepoFile, packages: Iterable[CachedPackage]) -> None:
    """See to it that there is a semodule in the tree, where packages bring modules. base: the root of the base.

    Raises:
        PolicyModulesRefused: there is none.
    """
    found = {package.nevra: module for package in packages if (module := module_of(package.header))}
    if not found or any(find_below(base, path) is not None for path in _SEMODULE):
        return
    if any(f"/{path}" in (package.header[rpm.RPMTAG_FILENAMES] or ()) for package in packages for path in _SEMODULE):
        return
    nevra, module = next(iter(found.items()))
    raise PolicyModulesRefused(
        f"{nevra} brings SELinux policy modules ({module}): the policy would have to be rebuilt before files are "
        "labelled, and the base has no semodule to do it",
        hint="Have policycoreutils, or the module, in the base image.",
    )


def not_taken_up(headers: Iterable[rpm.hdr]) -> list[str]:
    """What to say where the policy has come out as it was. Pure."""
    found = ((nevra_of(header), module_of(header)) for header in headers)
    return [f"{nevra}: the SELinux policy is as it was without {module}" for nevra, module in sorted(found) if module]
