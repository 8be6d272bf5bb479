"""What packages can be called, and their versions compared as rpm does."""

from __future__ import annotations

import re

from projections.packages import evr

# What rpmbuild lets packages be called (rpm's build/parsePreamble.c), which has no dash in a version or release.
_NEVRA = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._+%{}~^-]*-(?:[0-9]+:)?[A-Za-z0-9._+%{}~^]+-[A-Za-z0-9._+%{}~^]+\.[A-Za-z0-9_]+"
)


def is_nevra(text: str) -> bool:
    """Whether a package can be called so. It becomes the name of a branch and of files, and is printed."""
    return _NEVRA.fullmatch(text) is not None


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as the first is older than, equal to or newer than the second."""
    import rpm

    return int(rpm.labelCompare(evr(left), evr(right)))


def compare_version(nevra: str, version: str) -> int:
    """As `compare`, of a NEVRA and [EPOCH:]VERSION[-RELEASE]; a release that is not given is no difference."""
    import rpm

    epoch, _, rest = version.rpartition(":")
    upstream, dash, release = rest.partition("-")
    found = evr(nevra)
    return int(rpm.labelCompare(found if dash else (*found[:2], ""), (epoch or "0", upstream, release)))
