"""What all measurements have in common: where they work, and how long something took."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def in_directory(description: str | None, **more: int) -> Iterator[tuple[Path, argparse.Namespace]]:
    """A directory to work in, gone afterwards, and what the command line says: --directory, --repeat and some more.

    more: other numbers that can be given, by name, and their defaults.
    """
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    for name, default in {"repeat": 5, **more}.items():
        arguments.add_argument(f"--{name}", type=int, default=default)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="layer-bench-") as directory:
        yield Path(directory), given


def seconds(work: Callable[[], object]) -> float:
    """How long it took, by the clock on the wall."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
