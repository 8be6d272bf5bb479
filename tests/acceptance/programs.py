"""Programs that run in a base: busybox, statically linked, for its shell; others of the machine, with libraries."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.acceptance.bases import BaseTree
from tests.acceptance.rpms import File, Files, build_rpm, cache_directory

BUSYBOX = Path(shutil.which("busybox") or "/usr/bin/busybox")
APPLETS = (
    "sh",
    "cat",
    "ls",
    "rm",
    "mv",
    "cp",
    "mkdir",
    "ln",
    "touch",
    "echo",
    "id",
    "sleep",
    "stat",
    "chmod",
    "chown",
    "env",
    "hostname",
    "ip",
    "mknod",
    "mkfifo",
    "awk",
    "test",
    "true",
    "setsid",
    "sed",
    "ps",
    "seq",
    "date",
)


def with_shell(base: BaseTree) -> BaseTree:
    """The base with a shell that is a real one, and what goes with it."""
    shell: Files = {"/usr/bin/bash": File(BUSYBOX.read_bytes(), mode=0o755), "/usr/bin/sh": File(symlink="bash")}
    directory = cache_directory() / "shell"
    bash = build_rpm(directory, "bash", "5.2.26", "4", arch="x86_64", files=shell, provides=["/bin/sh"])
    files = {"/usr/bin/busybox": File(BUSYBOX.read_bytes(), mode=0o755)}
    files |= {f"/usr/bin/{name}": File(symlink="busybox") for name in APPLETS if name != "sh"}
    return base.without_packages("bash").with_packages([bash]).with_files(files)


def with_libraries(*programs: str) -> dict[str, File]:
    """Programs of this machine and the libraries that they load, each at its own place."""
    found: dict[str, File] = {}
    for program in programs:
        path = Path(shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") or program)
        listed = subprocess.run(["ldd", str(path)], check=True, capture_output=True, text=True).stdout
        for each in {str(path), *re.findall(r"(/\S+) \(0x", listed)}:
            # /lib and /lib64 lead into /usr, in the base as here.
            place = each if each.startswith("/usr/") else f"/usr{each}"
            found[place] = File(Path(each).read_bytes(), mode=0o755)
    return found
