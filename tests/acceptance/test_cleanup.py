"""Cleanup drops what nothing needs any longer, says what it frees, and never what is deployed, pinned or recent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import settled, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAZ, FOO, HttpServer, Repository

METADATA = "var/cache/layer"


def commits(host: Host) -> set[str]:
    return {path.parent.name + path.stem for path in host.repo.glob("objects/??/*.commit")}


def dropped(host: Host, *arguments: str) -> dict[str, Any]:
    """What a cleanup says, in its events, that it dropped; by their types."""
    events = host.json("cleanup", *arguments)["events"]
    return {event["type"]: event["payload"] for event in events if not event["type"].startswith("transaction-")}


def cached(host: Host) -> set[str]:
    """The names of the packages in the package cache."""
    refs = host.repo / "extensions/layer/pkgcache/refs/heads/layer/pkg"
    return {path.name for path in refs.iterdir() if any(each.is_file() for each in path.rglob("*"))}


def metadata_cache(host: Host) -> Path:
    return host.sysroot / "ostree/deploy" / host.stateroot / METADATA


@pytest.fixture
def long_lived(host: Host) -> tuple[Host, list[str]]:
    """A host with seven layers, one after the other, and the commit that each of its transactions left."""
    left = [host.commit_of()]
    names = ["foo", "baz", "bar", "left", "twin-a", "twin-b", "clash-a"]
    host.ok("pkg-add", names[0])
    left.append(host.commit_of())
    for previous, name in pairwise(names):
        host.ok("pkg-add", name, "--uninstall", previous)
        left.append(host.commit_of())
    return host, left


def test_without_a_flag_it_is_a_usage_error(host: Host) -> None:
    host.ok("sync")
    before = host.history()
    assert "At least one cleanup operation must be specified" in host.run("cleanup", check=2).stderr
    assert host.history() == before


# Deployments


def test_r_drops_what_could_be_rolled_back_to_and_nothing_else(host: Host) -> None:
    host.ok("pkg-add", "foo")
    head, previous = host.deployments()
    said = host.ok("cleanup", "-r")
    assert host.deployments() == [head]
    assert previous in said.stdout
    assert not (host.sysroot / "ostree/deploy" / host.stateroot / "deploy" / previous).exists()
    assert (host.last()["verb"], host.last()["outcome"]) == ("cleanup", "committed")


def test_dropping_deployments_prunes_nothing(host: Host, tmp_path: Path) -> None:
    """Regression: libostree pruned the repository as well, and said so on stdout, before the result."""
    host.ok("pkg-add", "foo")
    (tmp_path / "tree").mkdir()
    loose = ostree("commit", "--orphan", f"--tree=dir={tmp_path}/tree", "--subject=loose", repo=host.repo).strip()
    said = host.ok("cleanup", "-r")
    assert said.stdout.startswith("Dropped deployments:\n")
    assert loose in commits(host)


def test_the_only_deployment_and_the_one_to_boot_next_stay(host: Host) -> None:
    with unchanged(host):
        assert "Deployments unchanged." in host.ok("cleanup", "-p", "-r").stdout
    assert host.last()["outcome"] == "unchanged"
    host.ok("pkg-add", "foo")
    head = host.deployments()[0]
    host.ok("cleanup", "-p", "-r", "-b", "-m")
    assert host.deployments() == [head]
    host.run("cleanup", "-p", "--unchanged-exit-77", check=77)


def test_deployments_of_another_stateroot_are_not_touched(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.admin("os-init", "other")
    host.admin("deploy", "--os=other", "--karg=root=LABEL=root", "test:os/stable")
    before = {path.name for path in (host.sysroot / "ostree/deploy/other/deploy").iterdir()}
    host.ok("cleanup", "-p", "-r", "-b")
    assert {path.name for path in (host.sysroot / "ostree/deploy/other/deploy").iterdir()} == before


# Commits, by what the history needs


def test_b_keeps_the_last_five_transactions_and_drops_the_others(long_lived: tuple[Host, list[str]]) -> None:
    host, left = long_lived
    what = dropped(host, "-b")["commits-dropped"]
    assert commits(host) == {left[0], *left[3:]}  # the base is what all of them lie on
    assert what["commits"] == sorted(left[1:3])
    assert what["objects"] > 0
    assert what["bytes"] > 0
    for number, commit in enumerate(left[3:], 4):
        assert host.json("rollback", str(number), "-n")["layered_commit"] == commit


def test_how_many_transactions_keep_their_commits_is_for_the_administrator_to_say(
    long_lived: tuple[Host, list[str]],
) -> None:
    host, left = long_lived
    host.ok("cleanup", "-r")
    host.run("cleanup", "-b", env={"LAYER_KEEP": "3"}, check=0)
    assert commits(host) == {left[0], *left[5:]}
    host.ok("cleanup", "-b", "--keep", "1")
    assert commits(host) == {left[0], left[7]}


def test_attempts_that_moved_nothing_push_nothing_out(host: Host) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    host.ok("pkg-delete", "foo")
    host.ok("pkg-add", "baz")
    for _ in range(6):
        host.run("pkg-add", "zebra", check=1)
    host.ok("cleanup", "-b")
    assert layered in commits(host)


def test_a_dropped_state_is_built_again_bit_for_bit(long_lived: tuple[Host, list[str]]) -> None:
    host, left = long_lived
    host.ok("cleanup", "-b", "--keep", "0")
    assert left[1] not in commits(host)
    host.ok("rollback", "2")
    assert host.commit_of() == left[1]


def test_a_base_that_nothing_needs_goes_and_one_that_is_kept_stays(host: Host, base: BaseTree) -> None:
    first = host.commit_of()
    host.ok("pkg-add", "foo")
    second = base.commit(BRANCH, "2")
    host.ok("upgrade")
    base.with_files({"/usr/share/third": "3\n"}).commit(BRANCH, "3")
    host.ok("upgrade")
    host.ok("cleanup", "-r", "-b")
    assert {first, second} <= commits(host)
    host.ok("cleanup", "-b", "--keep", "1")
    assert not {first, second} & commits(host)
    host.ok("rollback", "2")
    assert host.current()["base_commit"] == first


def test_what_is_deployed_is_held_though_no_transaction_is(long_lived: tuple[Host, list[str]]) -> None:
    host, left = long_lived
    host.ok("cleanup", "-b", "--keep", "0")
    assert commits(host) == {left[0], left[6], left[7]}
    host.ok("rollback")
    assert host.commit_of() == left[6]


def test_another_tools_prune_takes_nothing_that_is_held(long_lived: tuple[Host, list[str]], base: BaseTree) -> None:
    host, left = long_lived
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    host.admin("cleanup")
    assert set(left) <= commits(host)


def test_b_holds_again_what_has_lost_its_ref(host: Host) -> None:
    """As `doctor` says of a commit that nothing holds."""
    host.ok("pkg-add", "foo")
    held = [ref for ref in host.refs() if ref.startswith(("layer/key/", "layer/base/"))]
    assert len(held) == 2
    for ref in held:
        ostree("refs", "--delete", ref, repo=host.repo)
    host.ok("cleanup", "-b")
    assert set(held) <= set(host.refs())


def test_another_stateroots_history_keeps_what_it_needs(host: Host) -> None:
    host.admin("os-init", "other")
    host.admin("deploy", "--os=other", "--karg=root=LABEL=root", "test:os/stable")
    other = Host(host.sysroot, "other")
    other.set_repo(host.read("/etc/yum.repos.d/test.repo", index=1))
    layered = other.json("pkg-add", "foo")["layered_commit"]
    other.ok("pkg-delete", "foo")
    other.ok("cleanup", "-r")
    host.ok("pkg-add", "baz")
    host.ok("cleanup", "-b", "--keep", "2")
    assert layered in commits(host)
    assert "foo" in cached(host)
    host.ok("cleanup", "-b", "--keep", "0")
    assert layered not in commits(host)


# The package cache


def test_b_drops_the_packages_that_no_kept_state_has(long_lived: tuple[Host, list[str]]) -> None:
    host, _ = long_lived
    assert cached(host) >= {"foo", "baz", "clash-a"}
    what = dropped(host, "-b", "--keep", "1")["commits-dropped"]
    assert {"foo-1.0-1.noarch", "baz-1.0-1.noarch"} <= {each["nevra"] for each in what["packages"]}
    assert cached(host) == {"clash-a", "twin-b"}  # what is deployed, and what is deployed before it


def test_what_was_downloaded_and_never_used_goes(host: Host) -> None:
    host.ok("pkg-add", "--download-only", "foo")
    assert cached(host) == {"foo"}
    assert [each["nevra"] for each in dropped(host, "-b")["commits-dropped"]["packages"]] == [FOO]
    assert cached(host) == set()


# The metadata


def test_m_drops_the_metadata_which_is_fetched_again(
    install_host: InstallHost, repository: Repository, web: HttpServer
) -> None:
    host = install_host(repository.repo_file(url=web.url))
    host.ok("pkg-add", "foo")
    assert list(metadata_cache(host).rglob("*.xml*"))
    files = [each for each in metadata_cache(host).rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    what = dropped(host, "-m")
    assert what["cache-dropped"] == {"cache": "metadata", "files": len(files), "bytes": size}
    assert not list(metadata_cache(host).rglob("*.xml*"))
    before = web.count("*/repodata/*")
    host.ok("pkg-add", "baz")
    assert web.count("*/repodata/*") > before
    assert host.current()["layered"] == [BAZ, FOO]


# What is told


def test_it_says_what_it_frees(long_lived: tuple[Host, list[str]]) -> None:
    host, _ = long_lived
    said = host.ok("cleanup", "-b", "--keep", "1").stdout
    assert "Freed: " in said
    assert "commits" in said
    assert "objects" in said
    assert "foo-1.0-1.noarch" in said


def test_what_it_counts_is_what_is_gone(long_lived: tuple[Host, list[str]]) -> None:
    host, _ = long_lived

    def on_disk() -> tuple[int, int, int]:
        objects = [*host.repo.glob("objects/??/*"), *host.repo.glob("extensions/layer/pkgcache/objects/??/*")]
        kinds = (".commit", ".dirtree", ".dirmeta", ".file")
        return len(commits(host)), sum(each.suffix in kinds for each in objects), len(cached(host))

    before = on_disk()
    what = dropped(host, "-b", "--keep", "1")["commits-dropped"]
    gone = tuple(then - now for then, now in zip(before, on_disk(), strict=True))
    assert (len(what["commits"]), what["objects"], len(what["packages"])) == gone


def test_the_history_outlives_every_cleanup_with_the_commands_that_made_it(host: Host) -> None:
    """rpm-ostree's history loses what it prunes; here the journal is not what is cleaned up."""
    host.ok("pkg-add", "foo", "-m", "because")
    host.ok("upgrade")
    host.ok("pkg-delete", "foo")
    before = host.history()
    typed = [each["command_line"].partition(host.stateroot)[2].strip() for each in before]
    assert typed == ["pkg-add foo -m because", "pkg-add foo -m because", "upgrade", "pkg-delete foo"]
    host.ok("cleanup", "-p", "-r", "-b", "-m", "--keep", "0")
    assert host.history()[:-1] == before


def test_nothing_to_clean_up_is_said_and_recorded(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("cleanup", "-b")
    with unchanged(host):
        assert "Nothing to clean up." in host.ok("cleanup", "-b").stdout
    assert host.last()["outcome"] == "unchanged"


def test_a_dry_run_tells_and_drops_nothing(long_lived: tuple[Host, list[str]]) -> None:
    host, left = long_lived
    before = settled(host).history()
    with unchanged(host):
        said = host.ok("cleanup", "-n", "-r", "-b", "--keep", "1").stdout
    assert "foo-1.0-1.noarch" in said
    assert left[6] in said
    assert host.history() == before


def test_a_locked_sysroot_is_not_cleaned_up(host: Host) -> None:
    host.ok("pkg-add", "foo")
    with host.locked() as pid, unchanged(host):
        assert str(pid) in host.run("cleanup", "-r", "-b", check=75).stderr
