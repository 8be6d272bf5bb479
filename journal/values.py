"""The values that events are made of: packages, requests, and who did it where.

Compared, hashed and sorted by their content; fields are added with a default or not at all.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """A value inside an event: compared, hashed and sorted by its content, what is not known first."""

    def __lt__(self, other: Value) -> bool:
        ours, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        if ours[0] != theirs[0] and ours[0] is not None and theirs[0] is not None:
            return bool(ours[0] < theirs[0])  # as nearly always, and folds compare a lot
        if None in ours or None in theirs:
            ours, theirs = (tuple("" if field is None else field for field in each) for each in (ours, theirs))
        return ours < theirs


class Package(Value, frozen=True):
    """One binary package, named so that it can be had again.

    nevra: NAME-[EPOCH:]VERSION-RELEASE.ARCH, the epoch left out where it is 0.
    sha256: of the whole RPM file, hex; None where another tool layered it and did not record it.
    repository: id of the repository that it came from, `@local` for a file, None if unknown.
    signed_by: id of the key whose signature was verified, None where none was asked for.
    """

    nevra: str
    sha256: str | None = None
    repository: str | None = None
    signed_by: str | None = None


class PackageChange(Value, frozen=True):
    """A package that took the place of another one of the same name and architecture."""

    old: Package
    new: Package


class Request(Value, frozen=True):
    """What the administrator asked for.

    spec: a package's name, a capability or a path; for a local RPM its NEVRA.
    sha256: of the local RPM file, hex; None for anything that repositories provide.
    """

    spec: str
    sha256: str | None = None


class Summary(Value, frozen=True):
    """The state that a transaction set out from."""

    refspec: str | None = None
    base_commit: str | None = None
    layered_commit: str | None = None
    requested: tuple[str, ...] = ()


class HostIdentity(Value, frozen=True):
    """Where it happened: machine-id(5), and the kernel's boot id."""

    machine_id: str | None = None
    boot_id: str | None = None


class Actor(Value, frozen=True):
    """On whose word it happened.

    uid, user: of the process. loginuid, login_user, session: as the kernel's audit saw the login, None where unset.
    invoked_by: the user behind sudo or pkexec. tty, unit: terminal and systemd unit.
    """

    uid: int | None = None
    user: str | None = None
    loginuid: int | None = None
    login_user: str | None = None
    session: int | None = None
    invoked_by: str | None = None
    tty: str | None = None
    unit: str | None = None


class Context(Value, frozen=True):
    """What every event of one invocation has in common."""

    host: HostIdentity
    actor: Actor
    command_line: str
    tool_version: str
