"""Names, places, and the two small helpers that every module of the demo needs."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BUILD = PROJECT / "build"
CACHE = BUILD / "demo-cache"
REMOTE = BUILD / "demo-remote"
REPOSITORY = BUILD / "demo-repo"
HOST = BUILD / "demo-host"
LAYER = PROJECT / ".venv/bin/layer"

ARCH = platform.machine()
STATEROOT = "debian"
STABLE = f"layer-demo/12/{ARCH}/stable"
DEVEL = f"layer-demo/12/{ARCH}/devel"
KERNEL = "6.1.0-demo"

# What the base is asked to hold. Libraries come by the dependencies that rpm found in the binaries; libgcc-s1
# and the PAM modules are named since programs load them only while they run.
BASE = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "kmod",
    "libc-bin",
    "libgcc-s1",
    "libpam-modules",
    "libpam-runtime",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "procps",
    "sed",
    "systemd",
    "tar",
    "tzdata",
    "util-linux",
]
LAYERABLE = ["strace", "jq", "htop"]
ADDED_IN_NEXT = ["less"]

# One moment for everything that would otherwise carry the time of the build, so that two runs agree.
EPOCH = 1_700_000_000


class DemoError(Exception):
    """Something that the demo counts on did not hold; the message says what, for a person."""


def run(*command: str | Path, hint: str = "", env: dict[str, str] | None = None) -> str:
    """Run a command of the preparation quietly; its output matters only when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, text=True, capture_output=True, check=False, env=env)
    if done.returncode:
        raise DemoError(f"{shlex.join(words)}\n{done.stdout}{done.stderr}{hint}".rstrip())
    return done.stdout


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
