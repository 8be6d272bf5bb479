"""The base of a host that boots: Debian's own packages in the shape of an OSTree commit.

It takes minutes and is kept in build/boot, in a repository on whose commits others are made.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.acceptance.bases import LINKS, TMPFILES, VAR, ostree

CACHE = Path(__file__).parents[2] / "build/boot"
REPO = CACHE / "repo"
HOSTNAME = "layer-boot"
PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "dracut", "linux-image-cloud-amd64", "ostree", "ostree-boot", "qemu-guest-agent"),
    *("python3", "python3-gi", "gir1.2-ostree-1.0", "python3-rpm", "python3-dnf", "rpm", "bubblewrap"),
)
NOT_INSTALLED = ("doc", "info", "locale", "man")  # of /usr/share
DRACUT = "hostonly=no\n"
# Timers of Debian's own upkeep, for which there is nothing to do.
MASKED = ("apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer")


def debian() -> str:
    """The branch of `REPO` with Debian's packages, made where it is not there; its name is what it is made by."""
    branch = f"debian/{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"
    if not REPO.exists() or branch not in ostree("refs", repo=REPO).split():
        shutil.rmtree(CACHE, ignore_errors=True)
        REPO.mkdir(parents=True)
        ostree("init", "--mode=bare", repo=REPO)
        tree = CACHE / "tree"
        _bootstrap(tree)
        _shape(tree)
        ostree("commit", f"--branch={branch}", f"--tree=dir={tree}", "--no-xattrs", repo=REPO)
        shutil.rmtree(tree)
    return branch


def compile_python(tree: Path, *directories: Path) -> None:
    """Compile what lies in directories of the tree, for good: OSTree keeps no times, by which it would be stale."""
    command = ["/usr/bin/python3", "-m", "compileall", "-q", "-f", "-j0", "--invalidation-mode=unchecked-hash"]
    # What can't be compiled is a template or a test of a syntax error: none of it is imported.
    subprocess.run([*command, f"-s{tree}", "-p/", *map(str, directories)], check=False, capture_output=True)


def run(*command: str | Path) -> str:
    """Run a tool of the preparation quietly; its output matters only when it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _bootstrap(tree: Path) -> None:
    """Debian's packages and their scripts, of the release that this machine runs, whose Python the venv's is."""
    dracut = CACHE / "dracut.conf"
    dracut.write_text(DRACUT)
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    if release.get("ID") != "debian":
        raise RuntimeError("The image is composed of Debian's packages, on Debian: run it in a container of debian:12.")
    run(
        "mmdebstrap",
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in NOT_INSTALLED),
        # The kernel's own script makes the initramfs when all is installed; it must find this.
        '--essential-hook=mkdir -p "$1/etc/dracut.conf.d"',
        f"--essential-hook=copy-in {dracut} /etc/dracut.conf.d",
        release["VERSION_CODENAME"],
        tree,
    )


def _shape(tree: Path) -> None:
    """From what Debian installs to what OSTree deploys."""
    kernel = next((tree / "usr/lib/modules").iterdir())
    (tree / f"boot/vmlinuz-{kernel.name}").rename(kernel / "vmlinuz")
    (tree / f"boot/initrd.img-{kernel.name}").rename(kernel / "initramfs.img")
    for name in ("boot", "dev", "proc", "run", "sys", "tmp", "var"):
        shutil.rmtree(tree / name)
        (tree / name).mkdir()
    for leftover in tree.glob("*.old"):
        leftover.unlink()
    (tree / "sysroot").mkdir()
    for link, target in LINKS.items():
        if (tree / link).is_dir():
            shutil.rmtree(tree / link)
        (tree / link).symlink_to(target)
    (tree / TMPFILES).write_text("".join(f"d {path} 0755 root root -\n" for path in VAR))
    _settle_etc(tree)
    compile_python(tree, *tree.glob("usr/lib/python3*"))


def _settle_etc(tree: Path) -> None:
    etc = tree / "etc"
    for name in ("fstab", "resolv.conf", ".pwd.lock"):
        (etc / name).unlink(missing_ok=True)
    (etc / "hostname").write_text(f"{HOSTNAME}\n")
    for name in ("passwd", "group"):
        shutil.copy(etc / name, tree / "usr/lib" / name)
    units = etc / "systemd/system"
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    # The root is read-only.
    shutil.copy(tree / "usr/share/systemd/tmp.mount", tree / "usr/lib/systemd/system")
    (units / "local-fs.target.wants/tmp.mount").symlink_to("/usr/lib/systemd/system/tmp.mount")
    etc.rename(tree / "usr/etc")
