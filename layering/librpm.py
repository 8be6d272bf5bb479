"""What is common to all use of librpm: where its database lies, and its process-wide settings: log, macros, clock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import rpm

DBPATH = "usr/share/rpm"
"""Where an rpmdb is read and written, relative to its root."""

UNCHECKED = rpm.RPMVSF_MASK_NOSIGNATURES | rpm.RPMVSF_MASK_NODIGESTS
"""What is read was checked before, or is none of what is to be trusted."""

# One sink for the process: librpm's binding opens a FILE for each log file that it is given, and closes none.
_LOG = os.memfd_create("rpm-log")
rpm.setLogFile(_LOG)


class Captured:
    """What librpm said while it was listened to, as one line."""

    text: str = ""


@contextmanager
def captured_log() -> Iterator[Captured]:
    """Keep librpm's messages out of stderr and hand them over, once the context has ended."""
    captured = Captured()
    rpm.setLogFile(_LOG)  # dnf sets its own
    os.ftruncate(_LOG, 0)
    try:
        yield captured
    finally:
        text = os.pread(_LOG, os.fstat(_LOG).st_size, 0).decode(errors="replace")
        captured.text = "; ".join(line.removeprefix("error: ") for line in text.splitlines())
        os.ftruncate(_LOG, 0)


@contextmanager
def macros(settings: Mapping[str, str]) -> Iterator[None]:
    """Set macros on top of the host's configuration. `import dnf` resets macros: set them around each use."""
    for name, value in settings.items():
        rpm.addMacro(name, value)
    try:
        yield
    finally:
        for name in settings:
            rpm.delMacro(name)


@contextmanager
def clock_at(timestamp: int) -> Iterator[None]:
    """Make librpm take `timestamp` (seconds since the epoch) for now (SOURCE_DATE_EPOCH)."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(timestamp)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before
