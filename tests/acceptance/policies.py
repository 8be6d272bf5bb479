"""The distribution's own SELinux policy, to be put into a base: the files that label it, some contexts added."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.acceptance.bases import ostree
from tests.acceptance.host import Host
from tests.acceptance.programs import with_libraries
from tests.acceptance.rpms import File, Files, cache_directory

TYPE = "testing"
PLACE = f"/usr/etc/selinux/{TYPE}"
CONTEXTS = "contexts/files/file_contexts"
CONFIG = f"# This is selinux_config(5).\nSELINUX=permissive\nSELINUXTYPE={TYPE}\n"
SEMANAGE = "module-store = direct\nstore-root = /etc/selinux\nexpand-check = 0\n"
STORE = "/var/lib/selinux"  # of the machine
MODULES = ("base", "getty", "unconfined", "xdg", "xserver")  # none of them can do without the others


@cache
def real_policy() -> dict[str, bytes]:
    """What labels depend on, by its path below /etc/selinux/TYPE: of Debian's policy or Fedora's."""
    root = next(path for name in ("default", "targeted") if (path := Path("/etc/selinux", name)).exists())
    paths = [root / f"{CONTEXTS}{suffix}" for suffix in ("", ".homedirs", ".subs", ".subs_dist")]
    paths += sorted((root / "policy").glob("policy.*"))[-1:]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.exists()}


@cache
def semodule_that_does_nothing() -> Files:
    """A program of that name which does nothing, and the libraries it needs.

    libostree runs `semodule --help` inside of every tree with a policy that it deploys, to ask whether it can rebuild
    modules; here there are none to rebuild.
    """
    files = with_libraries("true")
    return {"/usr/sbin/semodule": files.pop("/usr/bin/true"), **files}


@cache
def module_store() -> dict[str, bytes]:
    """A policy that the machine's semodule built from a few of Debian's modules, by path below /etc/selinux/TYPE.

    The modules are in it (store-root of semanage.conf(5) is /etc/selinux, as images have it), and all that labels
    depend on. All modules of a distribution would take many times as long to build, each time.
    """
    built = cache_directory() / "module-store"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent, prefix="store-") as temporary:
            etc = Path(temporary) / "etc"
            _build_store(etc)
            try:
                (etc / "selinux" / TYPE).rename(built)
            except OSError:  # another worker was faster
                if not built.exists():
                    raise
    return {str(path.relative_to(built)): path.read_bytes() for path in built.rglob("*") if path.is_file()}


def _build_store(etc: Path) -> None:
    root = etc / "selinux" / TYPE
    installed = next(path for name in ("default", "targeted") if (path := Path(STORE, name)).exists())
    for module in MODULES:
        shutil.copytree(installed / "active/modules/100" / module, root / "active/modules/100" / module)
    shutil.copytree(Path("/etc/selinux", installed.name, "contexts"), root / "contexts")
    for path in (root / CONTEXTS).parent.glob("file_contexts*"):
        path.unlink()
    (etc / "selinux/semanage.conf").write_text(SEMANAGE)
    (etc / "selinux/config").write_text(CONFIG)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    command = ["bwrap", "--ro-bind", "/", "/", "--bind", str(etc), "/etc", "semodule", "-n", "-B"]
    subprocess.run(command, check=True, capture_output=True)


def modular_policy() -> Files:
    """The files of a policy with its module store in a base, and the machine's semodule, to build it."""
    files = {f"{PLACE}/{path}": File(content, mode=0o600) for path, content in module_store().items()}
    config = {"/usr/etc/selinux/config": CONFIG, "/usr/etc/selinux/semanage.conf": SEMANAGE}
    return {
        **with_libraries("semodule", "setfiles", "sefcontext_compile", "/usr/libexec/selinux/hll/pp"),
        **config,
        **files,
    }


def cil(kind: str, *paths: str) -> str:
    """A policy module in CIL: a type of files, and paths (patterns) that have it."""
    contexts = (f'(filecon "{path}" any (system_u object_r {kind} ((s0) (s0))))' for path in paths)
    lines = (f"(type {kind})", f"(roletype object_r {kind})", f"(typeattributeset file_type ({kind}))", *contexts)
    return "".join(f"{line}\n" for line in lines)


def policy(*contexts: str, config: str = CONFIG) -> Files:
    """The files of a policy in a base: the real one, these lines added to file_contexts."""
    files = dict(real_policy())
    files[CONTEXTS] += "".join(f"{line}\n" for line in contexts).encode()
    placed = {f"{PLACE}/{path}": content for path, content in files.items()}
    return {**semodule_that_does_nothing(), "/usr/etc/selinux/config": config, **placed}


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


def notes_of(host: Host) -> list[str]:
    """The notes of the last transaction's layer."""
    events = host.json("show", str(host.last()["transaction"]))["events"]
    return [note for event in events if event["type"] == "layer-committed" for note in event["payload"]["notes"]]


def policy_of(host: Host) -> str | None:
    """The checksum that the last transaction journaled."""
    events = host.json("show", str(host.last()["transaction"]))["events"]
    found: list[str | None] = [each["payload"]["policy"] for each in events if each["type"] == "layer-committed"]
    return found[-1]


def cached_commits(host: Host, name: str = "tool") -> list[str]:
    """The commits of a package's branch in the cache, the newest first."""
    cache = cache_of(host)
    (ref,) = [line for line in ostree("refs", repo=cache).split() if line.startswith(f"layer/pkg/{name}/")]
    log = ostree("log", ref, repo=cache)
    return [line.removeprefix("commit ") for line in log.splitlines() if line.startswith("commit ")]


def cache_of(host: Host) -> Path:
    return host.repo / "extensions/layer/pkgcache"
