"""Cleanup on a system that runs from one of its deployments: a root of its own stands in for a boot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.host import Host, Result, environment

_REPO = Path(__file__).parents[2]
_PACKAGES = Path(sys.executable).parents[1] / f"lib/python3.{sys.version_info.minor}/site-packages"
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork")  # libostree looks at what the first process has mounted
# What libostree takes for booted: /run/ostree-booted, and a root that is a deployment. Programs come from this machine.
_BOOT = """
set -e
root=$1 sysroot=$2 var=$3 run=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$run" "$root/run"
mount --rbind / "$root/run/host"
mount --bind "$sysroot" "$root/sysroot"
mount --bind "$sysroot/boot" "$root/boot"
mount --bind "$var" "$root/var"
mount --bind /usr "$root/usr"
mount --bind /tmp "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
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

    def run(self, *arguments: str, check: int = 0) -> Result:
        """Run the command line as on the booted system."""
        host = self.host
        var = host.sysroot / "ostree/deploy" / host.stateroot / "var"
        places = [self.root, host.sysroot, var, self.run_directory]
        layer = ["/usr/bin/python3", "-c", "import cli.main; cli.main.main()", *arguments]
        command = [*_NAMESPACES, "sh", "-c", _BOOT, "sh", *map(str, places), *layer]
        path = ":".join(f"/run/host{each}" for each in (_REPO, _PACKAGES))
        done = subprocess.run(
            command, env=environment({"PYTHONPATH": path}), capture_output=True, text=True, check=False
        )
        result = Result(tuple(command), done.returncode, done.stdout, done.stderr)
        assert result.exit == check, str(result)
        return result


@pytest.fixture
def booted(host: Host, tmp_path: Path) -> Booted:
    """A host that was booted into the layer with foo; the bare base is behind it."""
    if subprocess.run([*_NAMESPACES, "mount", "-t", "proc", "proc", "/proc"], check=False).returncode:
        pytest.skip("namespaces are not to be had here")
    host.ok("pkg-add", "foo")
    return Booted(host, tmp_path / "run")


def test_it_is_booted(booted: Booted) -> None:
    assert "●" in booted.run("status").stdout


@pytest.fixture
def three(booted: Booted) -> tuple[str, str, str]:
    """A deployment that waits to be booted, the booted one, and one to roll back to; none is pinned."""
    host = booted.host
    host.admin("pin", "1")  # for as long as the next deployment is made outside of the booted system
    host.ok("pkg-add", "baz")
    host.admin("pin", "--unpin", "2")
    pending, running, bare = host.deployments()
    return pending, running, bare


def test_p_drops_what_waits_to_be_booted_and_the_booted_state_is_what_counts(
    booted: Booted, three: tuple[str, str, str]
) -> None:
    host = booted.host
    _, running, bare = three
    booted.run("cleanup", "-p")
    assert host.deployments() == [running, bare]
    current = host.current()
    assert (current["requested"], current["layered"]) == (["foo"], ["foo-1.0-1.noarch"])
    before = len(host.history())
    assert (host.last()["verb"], host.last()["requested"]) == ("cleanup", ["foo"])
    host.ok("sync")  # nothing is left to observe
    assert len(host.history()) == before
    host.ok("pkg-add", "bar")
    assert host.current()["requested"] == ["bar", "foo"]


def test_r_drops_what_is_behind_the_booted_one(booted: Booted, three: tuple[str, str, str]) -> None:
    pending, running, _ = three
    booted.run("cleanup", "-r")
    assert booted.host.deployments() == [pending, running]


def test_the_booted_deployment_is_never_dropped(booted: Booted, three: tuple[str, str, str]) -> None:
    booted.run("cleanup", "-p", "-r", "-b", "-m", "--keep", "0")
    assert booted.host.deployments() == [three[1]]
    assert booted.host.read("/usr/bin/foo") == "#!/bin/sh\necho foo\n"


def test_a_pinned_one_stays_on_either_side(booted: Booted, three: tuple[str, str, str]) -> None:
    booted.host.ok("pin", "last")
    booted.host.ok("pin", "1")
    booted.run("cleanup", "-p", "-r")
    assert booted.host.deployments() == list(three)
