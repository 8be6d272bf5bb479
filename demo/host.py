"""The demo's host: a sysroot that follows the remote, and a look at it that does not go through `layer`."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import gi

from demo.settings import HOST, REMOTE, STABLE, STATEROOT, DemoError, run

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, OSTree  # noqa: E402


def create() -> None:
    remove()
    HOST.mkdir(parents=True)
    repository = HOST / "ostree/repo"
    run("ostree", "admin", "init-fs", HOST)
    run("ostree", "admin", f"--sysroot={HOST}", "os-init", STATEROOT)
    # Nothing boots from here, and a boot loader must not be looked for.
    run("ostree", f"--repo={repository}", "config", "set", "sysroot.bootloader", "none")
    run("ostree", f"--repo={repository}", "remote", "add", "--no-gpg-verify", "demo", f"file://{REMOTE}")
    run("ostree", f"--repo={repository}", "pull", "demo", STABLE)
    run("ostree", "admin", f"--sysroot={HOST}", "deploy", f"--os={STATEROOT}", f"demo:{STABLE}")


def remove() -> None:
    """Delete the host of an earlier run; OSTree marks the root of each deployment immutable."""
    for deployment in HOST.glob("ostree/deploy/*/deploy/*.*/"):
        # A file system without that mark makes chattr fail; where the mark stays, rmtree says so.
        subprocess.run(["chattr", "-f", "-i", deployment], check=False)
    if HOST.exists():
        shutil.rmtree(HOST)


class Deployment:
    """The deployment that the host would boot next."""

    def __init__(self) -> None:
        sysroot = OSTree.Sysroot.new(Gio.File.new_for_path(str(HOST)))
        sysroot.load(None)
        newest = sysroot.get_deployments()[0]
        self.root = Path(HOST, sysroot.get_deployment_dirpath(newest))
        self.origin = ConfigParser()
        self.origin.read_string(newest.get_origin().to_data()[0])

    def has(self, program: str) -> bool:
        return (self.root / "usr/bin" / program).exists()

    def requested(self) -> set[str]:
        return {name for name in self.origin.get("packages", "requested", fallback="").split(";") if name}

    def version(self) -> str:
        lines = (self.root / "usr/lib/os-release").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)["OSTREE_VERSION"].strip("'")

    def expect(self, version: str, requested: set[str], programs: set[str], absent: set[str]) -> None:
        """Fail loudly where the host is not as the session's last command should have left it."""
        found = (self.version(), self.requested(), {name for name in programs | absent if self.has(name)})
        if found != (version, requested, programs):
            raise DemoError(
                f"The host is not as expected.\nfound:    {found}\n"
                f"expected: {(version, requested, programs)}\nin {self.root}"
            )
