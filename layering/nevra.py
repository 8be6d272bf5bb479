"""Versions of packages, compared as rpm does."""

from __future__ import annotations


def evr(nevra: str) -> tuple[str, str, str]:
    """Epoch, version and release of a NEVRA."""
    _, version, release = nevra.rpartition(".")[0].rsplit("-", 2)
    epoch, _, version = version.rpartition(":")
    return epoch or "0", version, release


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as the first is older than, equal to or newer than the second."""
    import rpm

    return int(rpm.labelCompare(evr(left), evr(right)))
