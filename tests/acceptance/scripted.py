"""Packages with scripts, and a base in which they can run: its shell is busybox, statically linked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import Host
from tests.acceptance.programs import with_shell
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files

RULES = "/usr/share/rules"  # of the base, for scripts to change


def image_with_shell(remote: Path) -> BaseTree:
    """A base whose shell is a real one, and which has some files for scripts to change; its version 1 is committed."""
    files = {f"{RULES}/one": File("one\n"), f"{RULES}/two": File("two\n"), f"{RULES}/deep/three": File("three\n")}
    files["/usr/etc/settings"] = File("colour=red\n")
    tree = with_shell(BaseTree(remote)).with_files(files)
    tree.commit(BRANCH, "1")
    return tree


def publish(
    repository: Repository, name: str, scripts: Mapping[str, str], files: Files | None = None, **more: object
) -> None:
    repository.build(
        name, files={f"/usr/share/{name}": f"{name}\n"} if files is None else files, scripts=scripts, **more
    )  # type: ignore[arg-type]
    repository.publish()


def layered(
    host: Host, repository: Repository, name: str, scripts: Mapping[str, str], files: Files | None = None
) -> str:
    """Build the package into the repository and layer it; returns what the command said."""
    publish(repository, name, scripts, files)
    result = host.ok("pkg-add", name)
    return result.stdout + result.stderr
