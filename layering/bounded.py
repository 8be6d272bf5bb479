"""A command that may take so long and no longer, and say what it likes: the end of it is kept.

Nothing of it is left when it is over, where it is the first process of a PID namespace that dies with its parent.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from layering.commit_tree import CHUNK

OUTPUT_AT_MOST = 4096
"""Bytes of the output, its end, that are kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. status: its exit status, negative for a signal, None where its time was up."""

    status: int | None
    output: str


def run_bounded(command: Sequence[str], environment: dict[str, str], given: bytes | None, timeout: float) -> Outcome:
    """Run a command that may take so many seconds; the end of its output is kept. When it ends, so do its children."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given or b"")
        stdin.seek(0)
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            umask=0o022,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            tail, ended = _read_tail(process.stdout, deadline)
            status: int | None = None
            if ended:
                with suppress(subprocess.TimeoutExpired):
                    status = process.wait(max(deadline - time.monotonic(), 0.1))
        finally:
            process.kill()  # the first process of the sandbox goes with it, and with that one all others
    return Outcome(status, _readable(tail))


def _read_tail(stream: IO[bytes], deadline: float) -> tuple[bytes, bool]:
    """The end of what the stream yields, and whether it ended before the deadline (of the monotonic clock)."""
    tail = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                chunk = os.read(stream.fileno(), CHUNK)
                if not chunk:
                    return tail, True
                tail = (tail + chunk)[-OUTPUT_AT_MOST:]
    return tail, False


def _readable(output: bytes) -> str:
    """As text, without what would steer the terminal of who reads it."""
    text = output.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text).strip()
