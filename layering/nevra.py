"""Versions of packages, compared as rpm does."""

from __future__ import annotations

from projections.packages import evr


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
