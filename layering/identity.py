"""Who acts, where, and with which words: the context that every event of an invocation carries."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from journal.credentials import without_credentials
from journal.values import Actor, Context, HostIdentity
from layering.version import VERSION

_UNSET = 0xFFFFFFFF  # what the kernel says where no login was recorded: (uid_t) -1, see proc_pid_loginuid(5)


def context(arguments: Sequence[str]) -> Context:
    """The context of this process, which was called with these arguments."""
    return Context(host_identity(), actor(os.environ), command_line(arguments), VERSION)


def command_line(arguments: Sequence[str]) -> str:
    """The command as it was typed, quoted for a shell; user names and passwords in URLs are left out."""
    return without_credentials(shlex.join(["layer", *arguments]))


def host_identity() -> HostIdentity:
    """machine-id(5) and the kernel's boot id."""
    return HostIdentity(
        _read("/etc/machine-id"),
        (_read("/proc/sys/kernel/random/boot_id") or "").replace("-", "") or None,
    )


def actor(environment: Mapping[str, str]) -> Actor:
    """On whose word this process runs: its user, the login behind it, and what sudo or pkexec say."""
    uid = os.getuid()
    loginuid = _audit_id("/proc/self/loginuid")
    invoked_by = environment.get("SUDO_USER")
    if not invoked_by and environment.get("PKEXEC_UID", "").isdecimal():
        invoked_by = _name(int(environment["PKEXEC_UID"]))
    return Actor(
        uid=uid,
        user=_name(uid),
        loginuid=loginuid,
        login_user=None if loginuid is None else _name(loginuid),
        session=_audit_id("/proc/self/sessionid"),
        invoked_by=invoked_by or None,
        tty=_tty(),
        unit=_unit(),
    )


def _audit_id(path: str) -> int | None:
    text = _read(path) or ""
    return int(text) if text.isdecimal() and int(text) != _UNSET else None


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _tty() -> str | None:
    for descriptor in range(3):
        try:
            return os.ttyname(descriptor)
        except OSError:
            continue
    return None


def _unit() -> str | None:
    """The innermost systemd unit of our control group, as `systemctl status PID` would find it."""
    for line in (_read("/proc/self/cgroup") or "").splitlines():
        for part in reversed(line.rpartition(":")[2].split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None
