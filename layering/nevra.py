"""NAME-[EPOCH:]VERSION-RELEASE.ARCH, taken apart and compared as rpm does."""

from __future__ import annotations

import re

# What rpmbuild lets packages be called (rpm's build/parsePreamble.c), which has no dash in a version or release.
_NEVRA = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._+%{}~^-]*-(?:[0-9]+:)?[A-Za-z0-9._+%{}~^]+-[A-Za-z0-9._+%{}~^]+\.[A-Za-z0-9_]+"
)


def is_nevra(text: str) -> bool:
    """Whether a package can be called so. It becomes the name of a branch and of files, and is printed."""
    return _NEVRA.fullmatch(text) is not None


def name_arch(nevra: str) -> tuple[str, str]:
    """Name and architecture."""
    rest, _, architecture = nevra.rpartition(".")
    return rest.rsplit("-", 2)[0], architecture


def evr(nevra: str) -> tuple[str, str, str]:
    """Epoch, version and release."""
    _, version, release = nevra.rpartition(".")[0].rsplit("-", 2)
    epoch, _, version = version.rpartition(":")
    return epoch or "0", version, release


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as the first is older than, equal to or newer than the second."""
    import rpm

    return int(rpm.labelCompare(evr(left), evr(right)))
