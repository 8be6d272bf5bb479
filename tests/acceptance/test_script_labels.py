"""What scripts make and change is labelled by the policy of the tree, as is all that layer writes itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, RPMDB, BaseTree
from tests.acceptance.host import Host
from tests.acceptance.policies import context, label, policy
from tests.acceptance.programs import with_libraries, with_shell
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files

OF_BASE: Files = {
    "/usr/share/rules/one": "one\n",
    "/usr/share/rules/two": "two\n",
    "/usr/share/rules/deep/three": "three\n",
    "/usr/share/untouched/x": "x\n",
    "/usr/etc/settings": "colour=red\n",
    "/usr/etc/shadow": File("root:*:::::::\n", mode=0o600),
    "/usr/etc/login.defs": "SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\n",
}
CONTEXTS = (
    f"/usr/share/made -d {context('man_t')}",
    f"/usr/share/made/nothing.* {'<<none>>'}",
    f"/usr/share/rpm(/.*)? {context('rpm_var_lib_t')}",
    f"/usr/lib/(passwd|group) -- {context('passwd_file_t')}",
)


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """A base with a shell, what makes users, and a policy; it has no labels itself, so each that is found is ours."""
    tree = with_shell(BaseTree(tmp_path / "remote")).with_files(
        {**with_libraries("useradd", "groupadd"), **policy(*CONTEXTS), **OF_BASE}
    )
    tree.commit(BRANCH, "1")
    return tree


def layered(
    host: Host, repository: Repository, *lines: str, section: str = "%post", files: Files | None = None
) -> None:
    repository.build("scripted", files=files or {"/usr/share/scripted": "s\n"}, scripts={section: "\n".join(lines)})
    repository.publish()
    host.ok("pkg-add", "scripted")


def labels(host: Host, *paths: str) -> dict[str, str | None]:
    """As the commit has them, and the deployed files just so."""
    found = {path: label(host, path) for path in paths}
    for path, kind in found.items():
        deployed = host.path(path)
        names = os.listxattr(deployed, follow_symlinks=False)
        assert ("security.selinux" in names) is (kind is not None)
        if kind is not None:
            value = os.getxattr(deployed, "security.selinux", follow_symlinks=False)
            assert value.rstrip(b"\0").decode() == context(kind)
    return found


def test_what_a_script_makes_has_the_label_of_its_place(host: Host, repository: Repository) -> None:
    layered(
        host,
        repository,
        "mkdir -p /usr/share/made/deep /etc/made.d && echo f > /usr/share/made/deep/file && echo e > /etc/made.d/e",
        "echo t > /usr/bin/made && chmod 4755 /usr/bin/made && ln -s ../bin/made /usr/lib/made-link",
        "echo n > /usr/share/made/nothing",
        "echo m > /usr/bin/moved && mv /usr/bin/moved /usr/share/made/moved",
    )
    expected = {
        "/usr/share/made": "man_t",
        "/usr/share/made/deep": "usr_t",
        "/usr/share/made/deep/file": "usr_t",
        "/usr/share/made/nothing": None,
        "/usr/share/made/moved": "usr_t",
        "/usr/etc/made.d": "etc_t",
        "/usr/etc/made.d/e": "etc_t",
        "/usr/bin/made": "bin_t",
        "/usr/lib/made-link": "lib_t",
    }
    assert labels(host, *expected) == expected
    assert stat.S_IMODE(host.stat("/usr/bin/made").st_mode) == 0o4755


def test_each_name_of_a_file_that_a_script_linked_has_its_own_label(host: Host, repository: Repository) -> None:
    layered(host, repository, "echo x > /usr/bin/first && ln /usr/bin/first /usr/share/second")
    assert labels(host, "/usr/bin/first", "/usr/share/second") == {
        "/usr/bin/first": "bin_t",
        "/usr/share/second": "usr_t",
    }
    assert host.read("/usr/bin/first") == host.read("/usr/share/second") == "x\n"


def test_what_a_script_changes_of_base_and_package_is_labelled_and_what_it_removes_is_gone(
    host: Host, repository: Repository
) -> None:
    layered(
        host,
        repository,
        "echo more >> /usr/share/rules/one && rm /usr/share/rules/two",
        "rm -r /usr/share/rules/deep && mkdir /usr/share/rules/deep && echo 4 > /usr/share/rules/deep/four",
        "echo colour=blue > /etc/settings && echo more >> /etc/shadow && echo more >> /usr/libexec/own",
        files={"/usr/libexec/own": "own\n"},
    )
    expected = {
        "/usr/share/rules": "usr_t",
        "/usr/share/rules/one": "usr_t",
        "/usr/share/rules/deep": "usr_t",
        "/usr/share/rules/deep/four": "usr_t",
        "/usr/etc/settings": "etc_t",
        "/usr/etc/shadow": "shadow_t",
        "/usr/libexec/own": "bin_t",
    }
    assert labels(host, *expected) == expected
    assert sorted(path.name for path in host.path("/usr/share/rules").rglob("*")) == ["deep", "four", "one"]
    # The cost follows the change: the rest of the base stays the objects that it was.
    assert labels(host, "/usr/share/untouched", "/usr/share/untouched/x", "/usr/bin/busybox") == dict.fromkeys(
        ("/usr/share/untouched", "/usr/share/untouched/x", "/usr/bin/busybox")
    )


def test_the_databases_of_packages_and_users_and_the_fragments_are_labelled(host: Host, repository: Repository) -> None:
    files: Files = {
        "/usr/bin/svcd": File("svc\n", user="svc", group="svc", mode=0o4755),
        "/var/lib/svc": File(directory=True),
    }
    layered(
        host, repository, "groupadd -r svc && useradd -r -g svc -d / -s /sbin/nologin svc", section="%pre", files=files
    )
    expected = {
        f"/{RPMDB}/rpmdb.sqlite": "rpm_var_lib_t",
        "/usr/lib/tmpfiles.d/pkg-scripted.conf": "lib_t",
        "/usr/lib/passwd": "passwd_file_t",
        "/usr/lib/group": "passwd_file_t",
        "/usr/etc/shadow": "shadow_t",
        "/usr/bin/svcd": "bin_t",
    }
    assert labels(host, *expected) == expected
    assert "svc:" in host.read("/usr/lib/passwd")
    assert stat.S_IMODE(host.stat("/usr/bin/svcd").st_mode) == 0o4755
