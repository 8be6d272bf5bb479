"""Packages with SELinux policy modules: what the tree's own semodule makes of them is the policy that counts."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import fails
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.policies import (
    CONTEXTS,
    PLACE,
    TYPE,
    cached_commits,
    cil,
    label,
    modular_policy,
    notes_of,
    policy_of,
)
from tests.acceptance.programs import with_shell
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import Files

MODULE = "/usr/share/selinux/packages/demo.cil"
STORED = f"{PLACE}/active/modules/200/demo"
DEMO: Files = {"/usr/bin/demo": "#!/bin/sh\n", "/usr/share/demo/a/b": "b\n", "/usr/share/other": "o\n"}
OF_DEMO = cil("demo_t", "/usr/bin/demo", "/usr/share/demo(/.*)?", "/usr/share/base-tool/.*")
# What the macro %selinux_modules_install comes to.
INSTALL = f""". /etc/selinux/config
if [ "$SELINUXTYPE" = {TYPE} ]; then
  /usr/sbin/semodule -n -s {TYPE} -X 200 -i {MODULE} || :
fi"""
LABELS = {
    "/usr/bin/demo": "demo_t",
    "/usr/share/demo": "demo_t",
    "/usr/share/demo/a": "demo_t",
    "/usr/share/demo/a/b": "demo_t",
    "/usr/share/other": "usr_t",
}


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """A base with a shell, a policy with its modules, and semodule."""
    tree = with_shell(BaseTree(tmp_path / "remote")).with_files(modular_policy())
    tree.commit(BRANCH, "1")
    return tree


def publish(repository: Repository, name: str, files: Files, scripts: Mapping[str, str] | None = None) -> None:
    repository.build(name, files=files, scripts=scripts)
    repository.publish()


def in_store(module: str) -> Files:
    """A package's files that put a module straight into the store."""
    place = STORED.removeprefix("/usr")
    return {f"{place}/cil": module, f"{place}/lang_ext": "cil"}


def labels(host: Host) -> dict[str, str | None]:
    return {path: label(host, path) for path in LABELS}


def contexts(host: Host) -> list[str]:
    """The lines of the committed file_contexts that are about the type of the test's module."""
    return [
        line
        for line in ostree("cat", host.commit_of(), f"{PLACE}/{CONTEXTS}", repo=host.repo).splitlines()
        if ":demo_t:" in line
    ]


def tree_of(host: Host, place: str) -> dict[str, str]:
    """Mode, owner and checksum of all that a commit has below a directory."""
    listed = ostree("ls", "-R", "-C", "-X", host.commit_of(), place, repo=host.repo)
    return {line.rsplit(" /", 1)[1]: line for line in listed.splitlines()}


# What is labelled by what


@pytest.mark.parametrize("how", ["by its script", "straight into the store"])
def test_a_module_is_in_the_policy_before_anything_is_labelled(host: Host, repository: Repository, how: str) -> None:
    publish(repository, "demo", DEMO)
    if how == "by its script":
        publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    else:
        publish(repository, "demo-selinux", in_store(OF_DEMO))
    host.ok("pkg-add", "demo", "demo-selinux")
    assert labels(host) == LABELS
    assert len(contexts(host)) == 3
    assert {f"{STORED}/cil", f"{STORED}/lang_ext"} <= {f"/{path}" for path in tree_of(host, STORED)}
    # What libostree deployed, having asked the tree's semodule whether it was to be built again.
    deployed = host.path(f"/etc/selinux/{TYPE}/{CONTEXTS}").read_text()
    assert deployed == ostree("cat", host.commit_of(), f"{PLACE}/{CONTEXTS}", repo=host.repo)
    recorded = ostree("show", "--print-metadata-key=layer.policy", host.commit_of(), repo=host.repo)
    assert recorded.strip() == f"'{policy_of(host)}'"


def test_the_policy_and_its_store_are_labelled_by_that_policy_as_libselinux_has_it(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    host.ok("pkg-add", "demo-selinux")
    file = tmp_path / "file_contexts"
    file.write_text(ostree("cat", host.commit_of(), f"{PLACE}/{CONTEXTS}", repo=host.repo))
    written = [
        STORED,
        f"{STORED}/cil",
        f"{PLACE}/active/policy.kern",
        f"{PLACE}/policy/policy.33",
        f"{PLACE}/{CONTEXTS}",
    ]
    for path in written:
        kind = "dir" if path == STORED else "file"
        command = ["selabel_lookup", "-b", "file", "-f", str(file), "-k", path.removeprefix("/usr"), "-t", kind]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (expected,) = re.findall(r"object_r:(\w+):", said)
        assert (path, label(host, path)) == (path, expected)


def test_files_of_the_base_that_a_module_names_get_its_label_and_no_others(host: Host, repository: Repository) -> None:
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    before = host.commit_of()
    host.ok("pkg-add", "demo-selinux")
    assert label(host, "/usr/share/base-tool/data") == "demo_t"
    assert label(host, "/usr/share/base-tool/data", before) is None  # this base has no labels at all
    unnamed = ("/usr/bin/base-tool", "/usr/share/base-tool", "/usr/lib/os-release")
    assert {label(host, path) for path in unnamed} == {None}
    assert any("of the base" in note and note.endswith(": 1") for note in notes_of(host))
    host.ok("pkg-delete", "demo-selinux")
    assert label(host, "/usr/share/base-tool/data") is None


def test_other_scripts_find_the_module_in_the_policy(host: Host, repository: Repository) -> None:
    script = f"grep -c demo_t /etc/selinux/{TYPE}/{CONTEXTS} > /usr/share/found || :"
    publish(repository, "a-first-by-name", {"/usr/share/x": "x\n"}, {"%post": script})
    publish(repository, "z-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    host.ok("pkg-add", "a-first-by-name", "z-selinux")
    assert host.read("/usr/share/found") == "3\n"


def test_what_a_policy_package_needs_runs_before_it(host: Host, repository: Repository) -> None:
    note = "echo $0 >/dev/null; echo {} >> /usr/share/order"
    repository.build("a-other", files={}, scripts={"%post": note.format("other")})
    repository.build("z-needed", files={}, scripts={"%post": note.format("needed")})
    repository.build(
        "demo-selinux", files={MODULE: OF_DEMO}, scripts={"%post": note.format("module")}, requires=["z-needed"]
    )
    repository.publish()
    host.ok("pkg-add", "a-other", "demo-selinux")
    assert host.read("/usr/share/order").split() == ["needed", "module", "other"]


def test_a_script_of_any_package_that_changes_the_policy_changes_the_labels(host: Host, repository: Repository) -> None:
    module = OF_DEMO.replace("$", "\\$")
    script = f"cat > /tmp/demo.cil <<'END'\n{module}END\nsemodule -n -X 200 -i /tmp/demo.cil"
    publish(repository, "demo", DEMO, {"%posttrans": script})
    host.ok("pkg-add", "demo")
    assert labels(host) == LABELS


# Another layer, another base


def test_packages_are_relabelled_when_a_module_comes_and_when_it_goes(
    host: Host, repository: Repository, base: BaseTree
) -> None:
    publish(repository, "demo", DEMO)
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    host.ok("pkg-add", "demo")
    plain = policy_of(host)
    assert set(labels(host).values()) == {"bin_t", "usr_t"}
    host.ok("pkg-add", "demo-selinux")
    assert labels(host) == LABELS
    assert policy_of(host) not in {plain, None}
    assert "relabelled 1 of 2 (files and directories: 4)" in notes_of(host)
    commits = cached_commits(host, "demo")
    assert len(commits) == 2
    base.with_files({"/usr/share/new": "new\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    assert labels(host) == LABELS
    assert not any("relabelled" in note for note in notes_of(host))
    host.ok("pkg-delete", "demo-selinux")
    assert set(labels(host).values()) == {"bin_t", "usr_t"}
    assert policy_of(host) == plain
    assert cached_commits(host, "demo") == commits


def test_the_same_module_gives_the_same_commit_on_another_host_at_another_time(
    host: Host, install_host: InstallHost, repository: Repository
) -> None:
    publish(repository, "demo", DEMO)
    publish(
        repository,
        "demo-selinux",
        {MODULE: OF_DEMO, **in_store(cil("more_t", "/usr/share/more"))},
        {"%post": INSTALL.replace("200", "300")},
    )
    host.ok("pkg-add", "demo")
    host.ok("pkg-add", "demo-selinux")
    time.sleep(1.1)  # a time in a file would be another
    other = install_host(repository.repo_file())
    other.ok("pkg-add", "demo-selinux", "demo")
    assert host.commit_of() == other.commit_of()


# What does not work


def test_a_base_without_semodule_is_named_before_anything_is_made(
    install_host: InstallHost, base: BaseTree, repository: Repository
) -> None:
    without = {path: file for path, file in modular_policy().items() if not path.endswith("/semodule")}
    replace(base, files=without).commit(BRANCH, "2")
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    host = install_host(repository.repo_file())
    result = fails(host, "pkg-add", "demo-selinux")
    assert f"demo-selinux-1.0-1.noarch brings SELinux policy modules ({MODULE})" in result.stderr
    assert "the base has no semodule" in result.stderr
    assert host.last()["error"]["kind"] == "policy-modules-refused"


def test_a_module_that_can_not_be_built_fails_the_transaction(host: Host, repository: Repository) -> None:
    publish(repository, "demo-selinux", in_store("(type demo_t)\n(roletype object_r no_such_type)\n"))
    result = fails(host, "pkg-add", "demo-selinux")
    assert "SELinux policy: semodule failed with exit status 1" in result.stderr
    assert "Failed to resolve roletype statement" in result.stderr


def test_a_module_that_a_script_could_not_install_is_told_of(host: Host, repository: Repository) -> None:
    publish(repository, "demo-selinux", {MODULE: "(roletype object_r no_such_type)\n"}, {"%post": INSTALL})
    host.ok("pkg-add", "demo-selinux")
    assert notes_of(host) == [f"demo-selinux-1.0-1.noarch: the SELinux policy is as it was without {MODULE}"]
    assert contexts(host) == []


def test_skipping_scripts_leaves_the_module_out_of_the_policy_and_says_so(host: Host, repository: Repository) -> None:
    publish(repository, "demo", DEMO)
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    host.ok("pkg-add", "--scripts=skip", "demo", "demo-selinux")
    assert label(host, "/usr/bin/demo") == "bin_t"
    assert host.read(MODULE) == OF_DEMO
    assert notes_of(host) == [f"demo-selinux-1.0-1.noarch: the SELinux policy is as it was without {MODULE}"]


@pytest.mark.parametrize("mode", ["skip", "refuse"])
def test_what_lies_in_the_store_is_built_whatever_becomes_of_scripts(
    host: Host, repository: Repository, mode: str
) -> None:
    publish(repository, "demo", DEMO)
    publish(repository, "demo-selinux", in_store(OF_DEMO))
    host.ok("pkg-add", f"--scripts={mode}", "demo", "demo-selinux")
    assert labels(host) == LABELS


def test_scripts_of_policy_packages_can_be_refused(host: Host, repository: Repository) -> None:
    publish(repository, "demo-selinux", {MODULE: OF_DEMO}, {"%post": INSTALL})
    result = host.run("pkg-add", "--scripts=refuse", "demo-selinux")
    assert result.exit != 0
    assert "demo-selinux-1.0-1.noarch" in result.stderr
