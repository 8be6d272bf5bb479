"""A policy narrowed to a directory says of it what the whole policy says."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from layering.file_contexts import CONTEXTS, SUBSTITUTIONS, FileContexts, Pattern
from layering.labels import Labels
from layering.policy import Policy
from tests.acceptance.policies import real_policy
from tests.layering.bases import Gio, OSTree

MODES = (0o100644, 0o40755, 0o120777)
DIRECTORIES = (
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/systemd",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/share",
    "/usr/share/selinux",
    "/usr/local/lib",
    "/etc",
    "/etc/selinux",
    "/var/lib",
    "/opt",
    "/run",
    "/boot",
    "/lib64",
    "/home/somebody",
)


def libselinux(files: dict[str, bytes], name: str = "testing") -> OSTree.SePolicy:
    """The whole policy, with nothing of ours between."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "etc/selinux")
        for path, content in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (root / "config").write_text(f"SELINUX=enforcing\nSELINUXTYPE={name}\n")
        return OSTree.SePolicy.new(Gio.File.new_for_path(directory), None)


def names(directory: str, files: dict[str, bytes]) -> list[str]:
    """Paths in a directory: those that the policy itself knows, and others."""
    known = {
        literal
        for line in files[CONTEXTS[0]].decode().splitlines()
        if (literal := re.sub(r"\\(.)", r"\1", re.split(r"[(\[*?+\s|^$]", line)[0])).startswith(f"{directory}/")
    }
    others = {f"{directory}/{name}" for name in ("x", "x.so.1", "sbin/x", "a/b/c", "README", ".hidden", "x y", "bin/é")}
    return sorted({path.rstrip("/") for path in known})[:40] + sorted(others)


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_narrowed_labels_are_libselinux_s_own(directory: str) -> None:
    files = dict(real_policy())
    files[SUBSTITUTIONS[0]] = b"/usr/local/lib /usr/lib\n/opt/inner /usr/lib64\n"
    whole, labels = libselinux(files), Labels(Policy("testing", files, "a test"))
    paths = names(directory, files)
    asked = [(path, mode) for path in paths for mode in MODES]
    for _ in range(12):  # often enough, for each of the directories below
        found = {each: labels.label(each[0].lstrip("/"), each[1]) for each in asked}
    assert found == {(path, mode): whole.get_label(path, mode, None)[1] for path, mode in asked}


def test_narrowing_leaves_out_nearly_all() -> None:
    files = real_policy()
    narrowed = FileContexts(files).narrowed("/usr/share/anything/")
    assert 0 < len(narrowed[CONTEXTS[0]].splitlines()) < len(files[CONTEXTS[0]].splitlines()) / 20


def test_a_directory_is_seen_as_where_substitutions_lead() -> None:
    contexts = FileContexts({SUBSTITUTIONS[0]: b"/opt/x /srv\n", SUBSTITUTIONS[1]: b"/srv /var/srv\n/lib64 /usr/lib\n"})
    assert contexts.places("/opt/x/y/") == {"/opt/x/y/", "/srv/y/", "/var/srv/y/"}
    assert contexts.places("/opt/") == {"/opt/", "/srv/", "/var/srv/"}
    assert contexts.seen_as("/lib64/libc.so") == {"/lib64/libc.so", "/usr/lib/libc.so"}
    assert contexts.places("/usr/share/") == {"/usr/share/"}


@pytest.mark.parametrize(
    ("regex", "stem"),
    [
        ("/usr/share/x", "/usr/share/x"),
        ("/usr/share/x\\.y(/.*)?", "/usr/share/x.y"),
        ("/usr/share/xy?/z", "/usr/share/x"),
        ("/usr/share/x\\.*", "/usr/share/x"),
        ("/usr/(a|b)/c", "/usr/"),
        ("/usr/a|/usr/b", ""),
        ("/usr/[[:alpha:]]+", "/usr/"),
        ("/usr/\\h+y", "/usr/"),
    ],
)
def test_all_that_a_pattern_can_name_begins_with_its_stem(regex: str, stem: str) -> None:
    assert Pattern(regex).stem == stem
