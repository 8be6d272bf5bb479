"""SELinux labels: those of the policy of the tree that is deployed, whatever the cache had and whatever the host is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import same_deployments
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.policies import (
    CONFIG,
    CONTEXTS,
    PLACE,
    cache_of,
    cached_commits,
    context,
    label,
    notes_of,
    policy,
    policy_of,
)
from tests.acceptance.repositories import HttpServer, Repository
from tests.acceptance.rpms import File, Files

TOOL = "tool-1.0-1.noarch"
FILES: Files = {
    "/usr/bin/tool": "#!/bin/sh\n",
    "/usr/bin/tool-link": File(symlink="tool"),
    "/usr/share/tool/a/b": "deep\n",
    "/etc/tool.conf": File("a=1\n", config=True),
}
SHELL_TOOL = f"/usr/bin/tool -- {context('shell_exec_t')}"

HostWith = Callable[..., Host]
"""Makes a host whose base has a policy with these lines of file contexts added."""


@pytest.fixture
def host_with(base: BaseTree, install_host: InstallHost, repository: Repository) -> HostWith:
    repository.build("tool", files=FILES)
    repository.publish()

    def make(*contexts: str, files: Files | None = None, repo_file: str | None = None) -> Host:
        base.with_files({**policy(*contexts), **(files or {})}).commit()
        return install_host(repo_file or repository.repo_file())

    return make


def object_of(host: Host, commit: str, path: str, repo: Path | None = None) -> str:
    """The checksum of the object that a file is in a commit."""
    return ostree("ls", "-C", commit, path, repo=repo or host.repo).split()[4]


# What the labels are


def test_files_directories_and_links_have_the_labels_of_the_bases_policy(host_with: HostWith) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    assert {path: label(host, path) for path in ("/usr/bin/tool", "/usr/bin/tool-link", "/usr/share/tool/a/b")} == {
        "/usr/bin/tool": "bin_t",
        "/usr/bin/tool-link": "bin_t",
        "/usr/share/tool/a/b": "usr_t",
    }


def test_directories_that_a_package_only_leads_through_are_labelled(host_with: HostWith) -> None:
    host = host_with(f"/usr/share/tool -d {context('bin_t')}")
    host.ok("pkg-add", "tool")
    assert label(host, "/usr/share/tool") == "bin_t"
    assert label(host, "/usr/share/tool/a") == "usr_t"


def test_what_lies_in_usr_etc_is_labelled_as_in_etc(host_with: HostWith) -> None:
    host = host_with(f"/etc/tool\\.conf -- {context('shadow_t')}", f"/usr/etc/tool\\.conf {context('bin_t')}")
    host.ok("pkg-add", "tool")
    assert label(host, "/usr/etc/tool.conf") == "shadow_t"
    on_disk = os.getxattr(host.path("/etc/tool.conf"), "security.selinux")
    assert on_disk.rstrip(b"\0").decode() == context("shadow_t")


def test_a_path_without_a_context_gets_no_label(host_with: HostWith) -> None:
    host = host_with("/usr/share/tool/a(/.*)? <<none>>")
    host.ok("pkg-add", "tool")
    assert label(host, "/usr/share/tool/a/b") is None
    assert label(host, "/usr/share/tool/a") is None
    assert label(host, "/usr/share/tool") == "usr_t"


def test_a_path_through_a_link_is_labelled_for_where_it_leads(host_with: HostWith, repository: Repository) -> None:
    files: Files = {
        "/usr/elsewhere/x": "x\n",
        "/usr/elsewhere/own": File(directory=True, mode=0o711),
        "/usr/elsewhere/own/y": File("y\n", user="games", mode=0o4755),
        "/usr/elsewhere/new/z": "z\n",
    }
    repository.build("linked", files=files)
    repository.publish()
    host = host_with(
        f"/usr/elsewhere(/.*)? {context('shadow_t')}",
        files={"/usr/elsewhere": File(symlink="libexec")},
    )
    host.ok("pkg-add", "linked")
    laid = ("/usr/libexec/x", "/usr/libexec/own", "/usr/libexec/own/y", "/usr/libexec/new", "/usr/libexec/new/z")
    assert {path: label(host, path) for path in laid} == dict.fromkeys(laid, "bin_t")
    assert host.stat("/usr/libexec/own").st_mode & 0o7777 == 0o711
    assert (host.stat("/usr/libexec/own/y").st_mode & 0o7777, host.stat("/usr/libexec/own/y").st_uid) == (0o4755, 12)


def test_labels_stand_beside_capabilities_owners_and_setuid_bits(host_with: HostWith, repository: Repository) -> None:
    files: Files = {
        "/usr/bin/capable": File("c\n", caps="cap_net_raw=ep"),
        "/usr/bin/setgid": File("s\n", mode=0o2755, group="games"),
        "/usr/share/mine": File(directory=True, user="games", mode=0o700),
    }
    repository.build("exact", files=files)
    repository.publish()
    host = host_with()
    host.ok("pkg-add", "exact")
    assert {path: label(host, path) for path in files} == {
        "/usr/bin/capable": "bin_t",
        "/usr/bin/setgid": "bin_t",
        "/usr/share/mine": "usr_t",
    }
    assert set(os.listxattr(host.path("/usr/bin/capable"))) == {"security.capability", "security.selinux"}
    assert (host.stat("/usr/bin/setgid").st_mode & 0o7777, host.stat("/usr/bin/setgid").st_gid) == (0o2755, 12)
    assert (host.stat("/usr/share/mine").st_mode & 0o7777, host.stat("/usr/share/mine").st_uid) == (0o700, 12)


def test_each_name_of_a_hardlinked_file_has_its_own_label(host_with: HostWith, repository: Repository) -> None:
    files: Files = {"/usr/bin/first": "the payload\n", "/usr/share/second": File(hardlink_to="/usr/bin/first")}
    repository.build("linked", files=files)
    repository.publish()
    host = host_with()
    host.ok("pkg-add", "linked")
    assert (label(host, "/usr/bin/first"), label(host, "/usr/share/second")) == ("bin_t", "usr_t")
    assert [host.read(path) for path in files] == ["the payload\n", host.read("/usr/bin/first")]


def test_what_layer_writes_itself_is_labelled(host_with: HostWith, repository: Repository) -> None:
    repository.build("stateful", files={"/var/lib/stateful": File(directory=True)})
    repository.publish()
    host = host_with(f"/usr/share/rpm(/.*)? {context('rpm_var_lib_t')}")
    host.ok("pkg-add", "stateful")
    assert label(host, "/usr/share/rpm/rpmdb.sqlite") == "rpm_var_lib_t"
    assert label(host, "/usr/lib/tmpfiles.d/pkg-stateful.conf") == "lib_t"


def test_nothing_is_labelled_where_the_base_has_no_policy_or_it_is_disabled(
    host_with: HostWith, host: Host, repository: Repository
) -> None:
    disabled = host_with(files={"/usr/etc/selinux/config": CONFIG.replace("permissive", "disabled")})
    for each in (host, disabled):
        each.ok("pkg-add", "tool")
        assert {label(each, path) for path in ("/usr/bin/tool", "/usr/share/tool", "/usr/etc/tool.conf")} == {None}
        assert policy_of(each) is None


def test_contexts_that_a_package_brings_count_for_all_packages(host_with: HostWith, repository: Repository) -> None:
    local = f"/usr/bin/tool -- {context('shell_exec_t')}\n"
    repository.build("contexts", files={f"{PLACE.removeprefix('/usr')}/{CONTEXTS}.local": local})
    repository.publish()
    host = host_with()
    host.ok("pkg-add", "tool")
    before = policy_of(host)
    host.ok("pkg-add", "contexts")
    assert label(host, "/usr/bin/tool") == "shell_exec_t"
    assert policy_of(host) not in {before, None}
    assert notes_of(host) == ["relabelled 1 of 2 (files and directories: 1)"]
    host.ok("pkg-delete", "contexts")
    assert label(host, "/usr/bin/tool") == "bin_t"
    assert policy_of(host) == before


# A policy that can't be used


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"/usr/etc/selinux/config": "SELINUX=enforcing\n"}, "names no SELINUXTYPE"),
        ({"/usr/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=\n"}, "names no SELINUXTYPE"),
        ({"/usr/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=../x\n"}, "names '../x' as SELINUXTYPE"),
        ({"/usr/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=mls\n"}, "/etc/selinux/mls/contexts/files"),
        ({f"{PLACE}/{CONTEXTS}": "garbage\n"}, "The SELinux policy 'testing' of commit"),
        ({f"{PLACE}/{CONTEXTS}": "/usr/(( -- system_u:object_r:bin_t:s0\n"}, "The SELinux policy 'testing' of commit"),
        ({f"{PLACE}/{CONTEXTS}": ""}, "The SELinux policy 'testing' of commit"),
    ],
    ids=["no type", "empty type", "path as type", "missing", "garbage", "bad pattern", "empty"],
)
def test_a_policy_that_cant_be_used_is_named_and_nothing_is_deployed(
    host_with: HostWith, base: BaseTree, files: Files, said: str
) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    broken = base.with_files({**policy(), **files}).commit(BRANCH, "2")
    with same_deployments(host):
        result = host.run("upgrade", check=1)
    assert said in result.stderr
    assert broken in result.stderr
    assert "can't be used" in result.stderr
    assert "Traceback" not in result.stderr
    assert host.last()["error"]["kind"] == "policy-broken"
    assert label(host, "/usr/bin/tool") == "bin_t"


def test_a_policy_that_makes_libostree_crash_is_refused_for_a_bare_base_too(
    host_with: HostWith, base: BaseTree
) -> None:
    host = host_with()
    base.with_files({**policy(), "/usr/etc/selinux/config": "SELINUX=enforcing\n"}).commit(BRANCH, "2")
    with same_deployments(host):
        result = host.run("upgrade", check=1)
    assert "names no SELINUXTYPE" in result.stderr
    assert host.last()["error"]["kind"] == "policy-broken"


def test_policy_modules_are_mere_files_where_there_is_no_policy(host: Host, repository: Repository) -> None:
    repository.build("module", files={"/usr/share/selinux/packages/module.pp.bz2": "a module\n"})
    repository.publish()
    host.ok("pkg-add", "module")
    assert host.read("/usr/share/selinux/packages/module.pp.bz2") == "a module\n"


# Another policy


def test_an_upgrade_to_other_contexts_writes_only_what_differs(
    host_with: HostWith, base: BaseTree, repository: Repository, web: HttpServer
) -> None:
    host = host_with(repo_file=repository.repo_file(url=web.url))
    host.ok("pkg-add", "tool", "foo")
    old, downloads = host.commit_of(), web.count("*.rpm")
    base.with_files(policy(SHELL_TOOL)).commit(BRANCH, "2")
    said = host.ok("upgrade")
    assert label(host, "/usr/bin/tool") == "shell_exec_t"
    assert label(host, "/usr/bin/tool-link") == "bin_t"
    assert notes_of(host) == ["relabelled 1 of 2 (files and directories: 1)"]
    assert "relabelled 1 of 2" in said.stderr
    assert web.count("*.rpm") == downloads
    after, before = cached_commits(host)
    changed = {path for path in FILES if object_in_cache(host, after, path) != object_in_cache(host, before, path)}
    assert changed == {"/usr/bin/tool"}
    assert label(host, "/usr/bin/tool", old) == "bin_t"


def object_in_cache(host: Host, commit: str, path: str) -> str:
    return object_of(host, commit, path.replace("/etc/", "/usr/etc/"), cache_of(host))


def test_the_same_policy_relabels_nothing(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    base.with_files({**policy(), "/usr/share/new": "new\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    assert notes_of(host) == []
    assert len(cached_commits(host)) == 1


def test_contexts_of_directories_are_relabelled_too(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    base.with_files(policy(f"/usr/share/tool(/.*)? -d {context('bin_t')}")).commit(BRANCH, "2")
    host.ok("upgrade")
    laid = ("/usr/share/tool", "/usr/share/tool/a", "/usr/share/tool/a/b")
    assert [label(host, path) for path in laid] == ["bin_t", "bin_t", "usr_t"]
    assert notes_of(host) == ["relabelled 1 of 1 (files and directories: 2)"]


def test_labels_go_with_the_policy_and_come_with_it(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    labelled = policy_of(host)
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert {label(host, path) for path in ("/usr/bin/tool", "/usr/share/tool")} == {None}
    assert policy_of(host) is None
    base.with_files({**policy(), "/usr/share/new": "new\n"}).commit(BRANCH, "3")
    host.ok("upgrade")
    assert {label(host, path) for path in ("/usr/bin/tool", "/usr/share/tool")} == {"bin_t", "usr_t"}
    assert policy_of(host) == labelled


def test_the_cache_keeps_the_last_three_and_takes_what_it_has(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    kinds = ["shell_exec_t", "lib_t", "usr_t", "shadow_t"]
    for number, kind in enumerate(kinds, 2):
        base.with_files(policy(f"/usr/bin/tool -- {context(kind)}")).commit(BRANCH, str(number))
        host.ok("upgrade")
        assert label(host, "/usr/bin/tool") == kind
    commits = cached_commits(host)
    assert [label(host, "/usr/bin/tool", commit, cache_of(host)) for commit in commits] == [
        "shadow_t",
        "usr_t",
        "lib_t",
    ]
    objects = {path.stem for path in (cache_of(host) / "objects").glob("*/*.commit")}
    assert objects == {commit[2:] for commit in commits}
    base.with_files({**policy(f"/usr/bin/tool -- {context('lib_t')}"), "/usr/share/new": "new\n"}).commit(BRANCH, "9")
    host.ok("upgrade")
    assert label(host, "/usr/bin/tool") == "lib_t"
    assert notes_of(host) == []
    assert cached_commits(host) == commits


def test_the_same_layer_is_the_same_commit_whether_it_was_relabelled_or_imported(
    host_with: HostWith, base: BaseTree, install_host: InstallHost, repository: Repository
) -> None:
    old = host_with()
    old.ok("pkg-add", "tool", "bar")
    base.with_files(policy(SHELL_TOOL)).commit(BRANCH, "2")
    old.ok("upgrade")
    new = install_host(repository.repo_file())
    new.ok("pkg-add", "tool", "bar")
    assert old.current()["layered"] == new.current()["layered"]
    assert old.commit_of() == new.commit_of()
    assert notes_of(old) != notes_of(new) == []


@pytest.mark.parametrize("with_policy", [True, False])
def test_a_damaged_directory_in_the_cache_is_had_again(
    host_with: HostWith, host: Host, base: BaseTree, repository: Repository, with_policy: bool
) -> None:
    host = host_with() if with_policy else host
    host.ok("pkg-add", "tool")
    for damaged in (cache_of(host) / "objects").glob("*/*.dirtree"):
        damaged.unlink()
    repository.build("another", files={"/usr/bin/another": "x\n"})
    repository.publish()
    host.ok("pkg-add", "another")
    assert host.read("/usr/bin/tool") == "#!/bin/sh\n"
    assert label(host, "/usr/bin/tool") == ("bin_t" if with_policy else None)


def test_a_damaged_file_in_the_cache_is_not_given_a_new_name_by_relabelling(
    host_with: HostWith, base: BaseTree
) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    (commit,) = cached_commits(host)
    checksum = object_of(host, commit, "/usr/bin/tool", cache_of(host))
    path = cache_of(host) / f"objects/{checksum[:2]}/{checksum[2:]}.file"
    label_of_it = os.getxattr(path, "security.selinux")
    path.unlink()  # it shares its inode with the host's repository
    path.write_text("#!/bin/ev\n")
    path.chmod(0o755)
    os.setxattr(path, "security.selinux", label_of_it)
    base.with_files(policy(SHELL_TOOL)).commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.read("/usr/bin/tool") == "#!/bin/sh\n"
    assert label(host, "/usr/bin/tool") == "shell_exec_t"


def test_the_policy_is_journaled_and_in_the_commit(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    first = policy_of(host)
    assert first is not None
    recorded = ostree("show", "--print-metadata-key=layer.policy", host.commit_of(), repo=host.repo)
    assert recorded.strip() == f"'{first}'"
    inputs = ostree("show", "--print-metadata-key=layer.inputs", host.commit_of(), repo=host.repo)
    assert f'"policy":"{first}"' in inputs
    base.with_files(policy(SHELL_TOOL)).commit(BRANCH, "2")
    host.ok("upgrade")
    assert policy_of(host) not in {first, None}


def test_rolling_back_gives_the_labels_of_then(host_with: HostWith, base: BaseTree) -> None:
    host = host_with()
    host.ok("pkg-add", "tool")
    then = host.commit_of()
    base.with_files(policy(SHELL_TOOL)).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("rollback")
    assert host.commit_of() == then
    assert label(host, "/usr/bin/tool") == "bin_t"
