"""Which stateroot a command is about, where its /var and its journal are. Needs no libostree: reading needs it, too."""

from __future__ import annotations

from pathlib import Path

from layering.errors import SysrootError


def var(sysroot: Path, osname: str) -> Path:
    """The /var of a stateroot: of the booted one as it is mounted, since /sysroot may be read-only."""
    if sysroot == Path("/") and osname == _booted():
        return Path("/var")
    return sysroot / "ostree/deploy" / osname / "var"


def journal_path(sysroot: Path, osname: str) -> Path:
    """The journal of a stateroot; on a booted host it is /var/lib/layer/journal.db."""
    return var(sysroot, osname) / "lib/layer/journal.db"


def choose(sysroot: Path, osname: str | None) -> str:
    """The stateroot to work on: the one named, else the booted one, else the only one.

    Raises:
        SysrootError: the directory is no OSTree sysroot, or has no or several stateroots to choose from.
    """
    deploy = sysroot / "ostree/deploy"
    if not (sysroot / "ostree/repo").is_dir():
        raise SysrootError(
            f"{sysroot} is not an OSTree sysroot: it has no ostree/repo",
            hint="Name one with --sysroot DIR or LAYER_SYSROOT.",
        )
    names = sorted(path.name for path in deploy.iterdir() if path.is_dir()) if deploy.is_dir() else []
    if osname:
        if osname not in names:
            raise SysrootError(f"No stateroot {osname!r} in {sysroot}: there is {', '.join(names) or 'none'}")
        return osname
    if sysroot == Path("/") and (booted := _booted()) in names:
        return booted
    if len(names) == 1:
        return names[0]
    if not names:
        raise SysrootError(f"{sysroot} has no stateroot", hint="Make one with `ostree admin os-init`.")
    raise SysrootError(f"{sysroot} has several stateroots: {', '.join(names)}", hint="Name one with --os or LAYER_OS.")


def _booted() -> str:
    """The stateroot that the kernel was told to boot: ostree=/ostree/boot.N/STATEROOT/CHECKSUM/SERIAL."""
    try:
        words = Path("/proc/cmdline").read_text().split()
    except OSError:
        return ""
    for word in words:
        if word.startswith("ostree=/ostree/boot."):
            return word.split("/")[3]
    return ""
