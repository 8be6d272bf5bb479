"""An overlay over a tree that is on disk: what is written to it lies apart, and nothing below it changes.

It is mounted in a mount namespace of its own, which one process holds: when that process is gone, however it went, so
is the mount. Nothing of it is seen by the rest of the host but through /proc/PID/root. Source: the kernel's
Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from layering.errors import LayeringError, Refused

# All that is new is whole in the upper directory: data, not only metadata; copies, not references to below.
_OPTIONS = "metacopy=off,redirect_dir=off,index=off"
# The paths are relative, so that no character of theirs means anything to the kernel. What scripts write is kept by
# the commit, not by the overlay: without `volatile` (Linux 5.10) its end is a sync of the whole file system.
_HOLD = """
mount -t overlay layer -o "$1,volatile" merged 2>/dev/null || mount -t overlay layer -o "$1" merged || exit
echo mounted
read -r end
"""


class ScriptsUnavailable(Refused):
    """Scripts can't be run on this host."""

    id = "scripts-unavailable"


@dataclass(frozen=True, slots=True)
class Overlay:
    """A mounted overlay. enter: the command that enters its mount namespace. merged: the tree, for who is in there.

    root: the same tree, for who is not. upper: what was written.
    """

    enter: tuple[str, ...]
    merged: Path
    root: Path
    upper: Path


@contextmanager
def mounted(directory: Path, lowers: Sequence[Path]) -> Iterator[Overlay]:
    """Mount the directories, the first one on top, with upper and work directories in `directory`.

    Raises:
        LayeringError: the kernel refuses.
    """
    shutil.rmtree(directory / "work", ignore_errors=True)  # a volatile one can't be mounted again
    for name in ("upper", "work", "merged"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "upper").chmod(0o755)
    for index, lower in enumerate(lowers):
        link = directory / f"lower{index}"
        link.unlink(missing_ok=True)
        link.symlink_to(lower.absolute())
    names = ":".join(f"lower{index}" for index in range(len(lowers)))
    options = f"lowerdir={names},upperdir=upper,workdir=work,{_OPTIONS}"
    command = ["unshare", "--mount", "--propagation=private", "--", "/bin/sh", "-c", _HOLD, "sh", options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=directory, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True
    ) as holder:
        try:
            assert holder.stdout is not None  # noqa: S101 - it is a pipe
            answer = holder.stdout.readline()
            if answer != b"mounted\n":
                reason = (answer + holder.stdout.read()).decode(errors="replace").strip()
                raise LayeringError(f"an overlay could not be mounted in {directory}: {reason}")
            merged = directory.absolute() / "merged"
            yield Overlay(
                enter=("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"),
                merged=merged,
                root=Path(f"/proc/{holder.pid}/root") / merged.relative_to("/"),
                upper=directory / "upper",
            )
        finally:
            holder.kill()


def find_scratch(candidates: Iterable[Path], beside: Path) -> Path:
    """The first of these directories that an overlay's upper and work directories can lie in.

    beside: a directory of the file system that the lower ones lie on, to work in.

    Raises:
        ScriptsUnavailable: there is none, or a program that it takes is not installed.
    """
    missing = [name for name in ("bwrap", "unshare", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        raise unavailable(f"{', '.join(missing)} is not installed")
    reasons = []
    for candidate in candidates:
        reason = _refusal(candidate, beside)
        if reason is None:
            return candidate
        reasons.append(reason)
    raise unavailable("; ".join(reasons))


@functools.cache
def _refusal(candidate: Path, beside: Path) -> str | None:
    """Why no overlay can be made in a directory, None where it can: tried once."""
    try:
        candidate.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            tempfile.TemporaryDirectory(dir=beside, prefix="run-") as lower,
            tempfile.TemporaryDirectory(dir=candidate, prefix="run-") as directory,
            mounted(Path(directory), [Path(lower)]) as overlay,
        ):
            # A deletion is a device node in the upper directory, an opaque directory has a trusted attribute.
            (overlay.root / "new").mkdir()
    except (LayeringError, OSError) as error:
        return str(error)
    return None


def unavailable(reason: str) -> ScriptsUnavailable:
    """The refusal, with what can be done about it."""
    return ScriptsUnavailable(
        f"Scripts of packages can't be run on this host: {reason}",
        hint="--scripts=refuse layers packages that have none, --scripts=skip leaves theirs out.",
    )
