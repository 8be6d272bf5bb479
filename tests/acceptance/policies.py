"""The distribution's own SELinux policy, to be put into a base: the files that label it, some contexts added."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

from tests.acceptance.host import Host
from tests.acceptance.rpms import File, Files

TYPE = "testing"
PLACE = f"/usr/etc/selinux/{TYPE}"
CONTEXTS = "contexts/files/file_contexts"
CONFIG = f"# This is selinux_config(5).\nSELINUX=permissive\nSELINUXTYPE={TYPE}\n"


@cache
def real_policy() -> dict[str, bytes]:
    """What labels depend on, by its path below /etc/selinux/TYPE: of Debian's policy or Fedora's."""
    root = next(path for name in ("default", "targeted") if (path := Path("/etc/selinux", name)).exists())
    paths = [root / f"{CONTEXTS}{suffix}" for suffix in ("", ".homedirs", ".subs", ".subs_dist")]
    paths += sorted((root / "policy").glob("policy.*"))[-1:]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.exists()}


@cache
def semodule() -> Files:
    """A program of that name which does nothing, and the libraries it needs.

    libostree runs `semodule --help` inside of every tree with a policy that it deploys, to ask whether it can rebuild
    modules; the modules themselves are not what is tested here.
    """
    program = Path("/usr/bin/true")
    needed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = sorted(set(re.findall(r"(/\S+)", needed)))
    usr = {path if path.startswith("/usr/") else f"/usr{path}": Path(path).read_bytes() for path in libraries}
    return {
        "/usr/sbin/semodule": File(program.read_bytes(), mode=0o755),
        **{path: File(content, mode=0o755) for path, content in usr.items()},
    }


def policy(*contexts: str, config: str = CONFIG) -> Files:
    """The files of a policy in a base: the real one, these lines added to file_contexts."""
    files = dict(real_policy())
    files[CONTEXTS] += "".join(f"{line}\n" for line in contexts).encode()
    placed = {f"{PLACE}/{path}": content for path, content in files.items()}
    return {**semodule(), "/usr/etc/selinux/config": config, **placed}


def context(kind: str) -> str:
    return f"system_u:object_r:{kind}:s0"


def label(host: Host, path: str, commit: str | None = None, repo: Path | None = None) -> str | None:
    """The type in the label of a path of a commit (the deployed one), as `ostree ls -X` tells it; None for no label."""
    command = ["ostree", f"--repo={repo or host.repo}", "ls", "-d", "-X", commit or host.commit_of(), path]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    attributes = line.split("{", 1)[1].rsplit("}", 1)[0] if "{" in line else ""
    if "security.selinux" not in attributes:
        return None
    return attributes.partition("object_r:")[2].partition(":")[0]
