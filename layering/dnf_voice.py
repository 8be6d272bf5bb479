"""What dnf says while it works: kept off the terminal, and handed over where somebody should hear of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import dnf.util

INTERRUPTED = "interrupted by a signal"
"""librepo takes SIGINT for itself, and then says so in its error."""

_SILENT = logging.NullHandler()


def silence() -> None:
    """dnf logs to whatever handlers there are, Python's last resort on stderr included; and redirects warnings."""
    for name in ("dnf", "librepo"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if _SILENT not in logger.handlers:
            logger.addHandler(_SILENT)
    # For anyone but root, dnf puts locks and a cache into /var/tmp.
    dnf.util.am_i_root = lambda: True


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What dnf warns of meanwhile."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("dnf")
    listener = Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


@contextmanager
def stderr() -> Iterator[list[str]]:
    """What C code writes to the file descriptor 2 meanwhile: libdnf does where a module's description is faulty."""
    said: list[str] = []
    sink = os.memfd_create("stderr")
    before = os.dup(2)
    os.dup2(sink, 2)
    try:
        yield said
    finally:
        os.dup2(before, 2)
        os.close(before)
        said += dict.fromkeys(os.pread(sink, os.fstat(sink).st_size, 0).decode(errors="replace").splitlines())
        os.close(sink)


def failures(warning: str) -> list[str]:
    """The reasons in dnf's list of what went wrong with each mirror, without repetitions."""
    lines = [line.removeprefix("  - ") for line in warning.splitlines() if line.startswith("  - ")]
    return list(dict.fromkeys(lines))
