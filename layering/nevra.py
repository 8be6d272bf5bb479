"""Versions of packages, compared as rpm does."""

from __future__ import annotations

from projections.packages import evr


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as the first is older than, equal to or newer than the second."""
    import rpm

    return int(rpm.labelCompare(evr(left), evr(right)))
