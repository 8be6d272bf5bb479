"""One scriptlet in bubblewrap: no network, few capabilities, the tree being built as its root, limited time.

The tree is an overlay's. /etc has its own name; /var is the layer's scratch one; /run, /tmp and /var/tmp are empty and
new each time. Nothing of the host is there. Sources: bwrap(1), capabilities(7), and for how a script
is called rpm's lib/rpmscript.c.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from layering.bounded import Outcome, run_bounded
from layering.errors import LayeringError
from layering.overlay import Overlay
from layering.scripts import LUA, Script

TIMEOUT_VARIABLE = "LAYER_SCRIPT_TIMEOUT"
DEFAULT_TIMEOUT = 600.0
"""Seconds that a script may take."""

_TREE = "/tree"
# What scripts do to files, users and processes of their own; not CAP_DAC_READ_SEARCH, which opens files by handle,
# nor CAP_MKNOD.
_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
# Below /proc, root's to write without any capability, and the host's own. bwrap itself protects only some of it.
_OF_THE_KERNEL = ("acpi", "bus", "fs", "irq", "scsi", "sys", "sysrq-trigger")
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "SYSTEMD_OFFLINE": "1",  # systemctl edits links and reaches for no manager
}
# Offline, systemctl edits links and ignores what a manager would do; but with --now it edits them and then fails.
_SYSTEMCTL = "/usr/bin/systemctl"
_REAL_SYSTEMCTL = "/run/layer/systemctl"
_WITHOUT_NOW = f"""#!/bin/sh
for argument do
    shift
    test "$argument" = --now || set -- "$@" "$argument"
done
exec {_REAL_SYSTEMCTL} "$@"
"""
# librpm itself, inside: what `-e` and `-q` scripts become, and <lua>. It is the host's, loaded before it enters the
# tree, whose macros count. What a macro or a Lua script runs is in the sandbox like any script.
_LIBRPM = """
import os, sys
import rpm
path, expand, query, count, *command = sys.argv[1:]
header = rpm.hdr(open("/header", "rb").read()) if query else None
os.chroot("/tree")
os.chdir("/")
body = open(path).read()
if expand:
    rpm.reloadConfig()
    body = rpm.expandMacro(body)
if query:
    body = header.sprintf(body)
target = path + ".expanded"
with open(target, "w") as file:
    file.write(body)
program, numbers = command[: -int(count)], command[-int(count) :]
if program != ["<lua>"]:
    try:
        os.execv(program[0], [*program, target, *numbers])
    except OSError as error:
        sys.exit(f"bwrap: execvp {program[0]}: {error.strerror}")
arguments = "".join(f", '{number}'" for number in numbers)
prelude = f"_G.arg = {{'<lua>'{arguments}}} rpm.next_file = function() return io.read() end "
try:
    print(end=rpm.expandMacro("%{lua:" + prelude + f"dofile('{target}')" + "}"))
except rpm.error:
    sys.exit(1)
"""


class ScriptFailed(LayeringError):
    """A script of a package did not do what it is there for."""

    id = "script-failed"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A tree that scripts can run in. etc: where its /etc lies. var: what is /var. scratch: for what they are handed.

    timestamp: what programs that honour SOURCE_DATE_EPOCH take for now, seconds since the epoch. timeout: seconds.
    """

    overlay: Overlay
    scratch: Path
    etc: str
    var: Path
    timestamp: int
    timeout: float

    def run(self, script: Script) -> str:
        """Run the script and return its output.

        Raises:
            ScriptFailed: it failed, ran out of time, or has no interpreter in the tree.
        """
        command, mounts = self._command(script)
        given = None if script.files is None else "".join(f"{path}\n" for path in script.files).encode()
        outcome = self._bubblewrap(command, mounts, given, in_librpm=_needs_librpm(script))
        if outcome.status == 0:
            return outcome.output
        if outcome.output.startswith("bwrap: execvp"):
            raise ScriptFailed(f"{script} needs {script.program[0]}, which can't be run in the tree: {outcome.output}")
        if outcome.status is None:
            how = f"was killed after {self.timeout:g} seconds (--script-timeout allows more)"
        else:
            how = f"failed with {_ending(outcome.status)}"
        raise ScriptFailed(f"{script} {how}{_said(outcome.output)}")

    def call(self, *command: str) -> Outcome:
        """Run a program of the tree."""
        return self._bubblewrap(command, (), None)

    def _command(self, script: Script) -> tuple[list[str], list[str]]:
        """The command inside, and bwrap's arguments that hand it its files."""
        if not script.body:
            return list(script.program), []
        inside = f"/var/tmp/rpm-tmp.{script.name.strip('%')}"  # noqa: S108 - the sandbox's own
        numbers = [str(number) for number in script.arguments]
        mounts = ["--ro-bind", str(self._file("script", script.body.encode(errors="surrogateescape"))), inside]
        if not _needs_librpm(script):
            return [*script.program, inside, *numbers], mounts
        mounts += ["--ro-bind", str(self._file("header", script.header)), "/header"]
        python = [_python(), "-I", "-B", "-c", _LIBRPM]
        flags = ["1" if script.expand else "", "1" if script.query else "", str(len(numbers))]
        return [*python, inside, *flags, *script.program, *numbers], mounts

    def _bubblewrap(
        self, command: Sequence[str], mounts: Sequence[str], given: bytes | None, *, in_librpm: bool = False
    ) -> Outcome:
        arguments = list(_isolation())
        if in_librpm:
            # The library sees its own files, to be loaded, and the tree below.
            arguments += [*_host_programs(), "--dir", _TREE, *self._tree(_TREE)]
            script, source, target, *header = mounts
            arguments += [script, source, _TREE + target, *header]
        else:
            arguments += [*self._tree(""), *mounts]
        arguments += ["--remount-ro", "/", "--chdir", "/", "--"]
        environment = {**_ENVIRONMENT, "SOURCE_DATE_EPOCH": str(self.timestamp)}
        return run_bounded([*self.overlay.enter, "bwrap", *arguments, *command], environment, given, self.timeout)

    def _tree(self, prefix: str) -> Iterator[str]:
        """The tree at `prefix`, with what a running system has beside it."""
        merged = self.overlay.merged
        for entry in sorted(os.scandir(self.overlay.root), key=lambda entry: entry.name):
            at = f"{prefix}/{entry.name}"
            if entry.name == "opt" and (self.overlay.root / "usr/lib/opt").is_dir():
                yield from ("--symlink", "usr/lib/opt", at)
            elif entry.is_symlink():
                yield from ("--symlink", str(Path(entry.path).readlink()), at)
            elif entry.name in {"usr", "bin", "sbin"} or entry.name.startswith("lib"):
                yield from ("--bind", str(merged / entry.name), at)
            elif entry.is_dir() and entry.name in {"boot", "sysroot", "sys"}:
                yield from ("--dir", at)
        yield from ("--bind", str(merged / self.etc), f"{prefix}/etc")
        yield from ("--dev", f"{prefix}/dev", "--proc", f"{prefix}/proc")
        for name in _OF_THE_KERNEL:
            yield from ("--ro-bind-try", f"/proc/{name}", f"{prefix}/proc/{name}")
        yield from _in_memory("1777", f"{prefix}/tmp")  # noqa: S108 - the sandbox's own
        yield from (*_in_memory("0755", f"{prefix}/run"), "--dir", f"{prefix}/run/lock")
        yield from ("--ro-bind", str(self._file("booted", b"")), f"{prefix}/run/ostree-booted")
        systemctl = self.overlay.root / _SYSTEMCTL.lstrip("/")
        if systemctl.is_file() and not systemctl.is_symlink():
            yield from ("--ro-bind", str(merged / _SYSTEMCTL.lstrip("/")), f"{prefix}{_REAL_SYSTEMCTL}")
            yield from ("--ro-bind", str(self._file("systemctl", _WITHOUT_NOW.encode())), f"{prefix}{_SYSTEMCTL}")
        yield from ("--bind", str(self.var), f"{prefix}/var")
        yield from _in_memory("1777", f"{prefix}/var/tmp")  # noqa: S108

    def _file(self, name: str, content: bytes) -> Path:
        path = self.scratch / name
        path.write_bytes(content)
        path.chmod(0o755)  # a script may be run by a user that it has become
        return path


def time_limit() -> float:
    """Seconds that a script may take.

    Raises:
        LayeringError: the environment says something else than a number.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else DEFAULT_TIMEOUT
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise LayeringError(f"{TIMEOUT_VARIABLE}={text!r} is not a number of seconds")
    return seconds


def _in_memory(mode: str, at: str) -> Iterator[str]:
    """An empty directory that a script may fill with an eighth of the memory that the machine has."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8
    yield from ("--perms", mode, "--size", str(size), "--tmpfs", at)


def _isolation() -> Iterator[str]:
    yield from ("--die-with-parent", "--new-session", "--hostname", "localhost")
    yield from (f"--unshare-{name}" for name in ("net", "pid", "ipc", "uts", "cgroup-try"))
    yield from ("--cap-drop", "ALL")
    for name in _CAPABILITIES:
        yield from ("--cap-add", f"CAP_{name}")


def _host_programs() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")
    for entry in sorted(os.scandir("/"), key=lambda entry: entry.name):
        if entry.name in {"bin", "sbin"} or entry.name.startswith("lib"):
            kind = ("--symlink", str(Path(entry.path).readlink())) if entry.is_symlink() else ("--ro-bind", entry.path)
            yield from (*kind, entry.path)


def _python() -> str:
    """The distribution's Python, to whose librpm the binding belongs, outside of any venv."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _ending(status: int) -> str:
    """How a script ended; where its shell or bwrap tells of a signal by its number, the signal's name."""
    try:
        return f"exit status {status} ({signal.Signals(status - 128).name})"
    except ValueError:
        return f"exit status {status}"


def _said(output: str) -> str:
    """A script's output at the end of a message: more than one line below it."""
    return "" if not output else f":\n{output}" if "\n" in output else f": {output}"


def _needs_librpm(script: Script) -> bool:
    return bool(script.body) and (script.program[0] == LUA or script.expand or script.query)
