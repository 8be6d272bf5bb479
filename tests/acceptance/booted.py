"""A system that runs from one of its deployments: a root of its own stands in for a boot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.host import Host, Result, environment

_REPO = Path(__file__).parents[2]
_PACKAGES = Path(sys.executable).parents[1] / f"lib/python3.{sys.version_info.minor}/site-packages"
NAMESPACES = ("unshare", "--mount", "--pid", "--fork")  # libostree looks at what the first process has mounted
# What libostree takes for booted: /run/ostree-booted, and a root that is a deployment. /sysroot is read-only, as
# Fedora's hosts have it. Programs come from this machine.
_BOOT = """
set -e
root=$1 sysroot=$2 var=$3 run=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$run" "$root/run"
mount --rbind / "$root/run/host"
mount --bind "$sysroot" "$root/sysroot"
mount -o remount,bind,ro "$root/sysroot"
mount --bind "$sysroot/boot" "$root/boot"
mount --bind "$var" "$root/var"
mount --bind /usr "$root/usr"
mount --bind /tmp "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$run/cmdline" "$root/proc/cmdline"
exec chroot "$root" "$@"
"""


class Booted:
    """A host booted into the deployment that was the first one when this was made."""

    def __init__(self, host: Host, run: Path) -> None:
        self.host = host
        self.root = host.deployment()
        self.run_directory = run
        (run / "host").mkdir(parents=True)
        (run / "ostree-booted").touch()
        (run / "cmdline").write_text(f"root=LABEL=root ostree=/ostree/boot.1/{host.stateroot}/{'0' * 64}/0\n")

    def run(self, *arguments: str, check: int = 0, env: Mapping[str, str] | None = None) -> Result:
        """Run the command line as on the booted system."""
        host = self.host
        var = host.sysroot / "ostree/deploy" / host.stateroot / "var"
        places = [self.root, host.sysroot, var, self.run_directory]
        layer = ["/usr/bin/python3", "-c", "import cli.main; cli.main.main()", *arguments]
        command = [*NAMESPACES, "sh", "-c", _BOOT, "sh", *map(str, places), *layer]
        path = ":".join(f"/run/host{each}" for each in (_REPO, _PACKAGES))
        done = subprocess.run(
            command, env=environment({"PYTHONPATH": path, **(env or {})}), capture_output=True, text=True, check=False
        )
        result = Result(tuple(command), done.returncode, done.stdout, done.stderr)
        assert result.exit == check, str(result)
        return result
