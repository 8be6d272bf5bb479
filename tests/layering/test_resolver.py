"""The resolver on real repositories and a real base: what is layered, what is not, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from journal.values import Package, Request
from layering.errors import (
    BaseWouldChange,
    PackagesNotFound,
    ResolveError,
)
from layering.resolver import Demand, Resolver
from tests.acceptance import rpms
from tests.acceptance.rpms import build_rpm
from tests.layering.universes import World, build, demand, downloads, nevras, package, requests, resolve


@pytest.fixture
def world(world: World) -> World:
    world.configure(world.repository.repo_file())
    return world


def test_a_request_brings_what_it_requires_and_recommends_and_why_is_told(world: World) -> None:
    build(world, "app", requires=["libapp", "/usr/share/app-data"], recommends=["docs"])
    build(world, "libapp", arch="x86_64", provides=["libapp.so.1"])
    build(world, "app-data", files={"/usr/share/app-data": "x"})
    build(world, "docs")
    build(world, "unrelated")
    world.repository.publish()
    resolver: Resolver = world.resolver()
    resolution = resolver.resolve(Demand(requests("app")))
    everything = ["app-1.0-1.noarch", "app-data-1.0-1.noarch", "docs-1.0-1.noarch", "libapp-1.0-1.x86_64"]
    assert nevras(resolution) == everything
    assert resolution.required_by == dict.fromkeys(everything[1:], ("app-1.0-1.noarch",))
    assert {each.repository for each in resolution.packages} == {"test"}
    assert resolution.packages[0].sha256 == rpms.sha256(world.repository.directory / "app-1.0-1.noarch.rpm")


def test_a_package_can_be_asked_for_by_name_version_capability_path_and_pattern(world: World) -> None:
    build(world, "tool", files={"/usr/bin/tool": "x", "/usr/share/tool/deep": "x"}, provides=["pkgconfig(tool) = 1.0"])
    build(world, "tool", "2.0")
    build(world, "tool-extra", epoch=3)
    world.repository.publish()
    resolver = world.resolver()
    for spec, expected in {
        "tool": ["tool-2.0-1.noarch"],
        "tool-1.0": ["tool-1.0-1.noarch"],
        "tool-1.0-1.noarch": ["tool-1.0-1.noarch"],
        "tool = 1.0": ["tool-1.0-1.noarch"],
        "tool < 2": ["tool-1.0-1.noarch"],
        "tool.noarch": ["tool-2.0-1.noarch"],
        "pkgconfig(tool)": ["tool-1.0-1.noarch"],
        "pkgconfig(tool) >= 1": ["tool-1.0-1.noarch"],
        "/usr/bin/tool": ["tool-1.0-1.noarch"],
        "/bin/tool": ["tool-1.0-1.noarch"],
        "/usr/share/tool/deep": ["tool-1.0-1.noarch"],
        "tool-extra-3:1.0": ["tool-extra-3:1.0-1.noarch"],
        "tool*": ["tool-2.0-1.noarch", "tool-extra-3:1.0-1.noarch"],
    }.items():
        assert nevras(resolver.resolve(Demand(requests(spec)))) == expected, spec


def test_all_missing_packages_are_named_at_once_in_the_order_typed(world: World) -> None:
    build(world, "there")
    world.repository.publish()
    with pytest.raises(PackagesNotFound) as refused:
        resolve(world, "zebra", "there", "/usr/bin/nothing", "ape", "@group", "pkgconfig(x) > 3")
    assert refused.value.message == "Packages not found: zebra, /usr/bin/nothing, ape, @group, pkgconfig(x) > 3"


def test_without_any_repository_a_package_is_not_found(world: World) -> None:
    (world.deployment / "etc/yum.repos.d/test.repo").unlink()
    with pytest.raises(PackagesNotFound, match=r"^Packages not found: app$"):
        resolve(world, "app")
    shutil.rmtree(world.deployment)
    with pytest.raises(PackagesNotFound):
        resolve(world, "app")


def test_what_the_base_has_is_absorbed_by_name_nevra_capability_and_path_without_any_repository(world: World) -> None:
    world.configure(world.repository.repo_file(url="http://127.0.0.1:1"))
    met = {
        "bash": "bash-5.2.26-3.x86_64",
        "bash-5.2.26": "bash-5.2.26-3.x86_64",
        "bash.x86_64": "bash-5.2.26-3.x86_64",
        "bash >= 5": "bash-5.2.26-3.x86_64",
        "system-release(releasever)": "fedora-release-40-1.noarch",
        "/bin/sh": "bash-5.2.26-3.x86_64",
        "/usr/bin/bash": "bash-5.2.26-3.x86_64",
        "/bin/bash": "bash-5.2.26-3.x86_64",
        "/bin/base-tool": "base-tool-1.0-1.noarch",
    }
    resolver = world.resolver()
    assert resolver.provided_by_base([*met, "absent", "bash-9", "bash = 9", "bash.i686", "ba*", "/bin/absent"]) == met
    resolution = resolver.resolve(Demand(requests(*met)))
    assert (resolution.packages, resolution.provided_by_base) == ((), met)


@pytest.mark.parametrize("policy", ["keep", "prefer", "upgrade"])
def test_an_absorbed_request_is_not_layered_beside_the_others(world: World, policy: str) -> None:
    build(world, "bash", "9.0", arch="x86_64")
    build(world, "app", requires=["bash"])
    world.repository.publish()
    resolution = world.resolver().resolve(demand(world, "bash", "app", policy=policy))
    assert nevras(resolution) == ["app-1.0-1.noarch"]
    assert resolution.provided_by_base == {"bash": "bash-5.2.26-3.x86_64"}


def test_keeping_moves_no_layered_package_though_there_are_newer_ones(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"]), build(world, "lib")
    build(world, "app", "2.0", requires=["lib"])
    build(world, "lib", "2.0")
    build(world, "more", requires=["lib"])
    world.repository.publish()
    asked = demand(world, "app", "more", kept=(app, lib))
    resolution = world.resolver().resolve(asked)
    assert nevras(resolution) == ["app-1.0-1.noarch", "lib-1.0-1.noarch", "more-1.0-1.noarch"]
    assert downloads(resolution, asked) == ["more-1.0-1.noarch"]
    assert package(app) in resolution.packages


def test_keeping_refuses_what_takes_another_version_and_says_so(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"]), build(world, "lib")
    build(world, "lib", "2.0")
    build(world, "more", requires=["lib >= 2"])
    world.repository.publish()
    with pytest.raises(ResolveError, match="other versions of packages that are layered already") as refused:
        resolve(world, "app", "more", kept=(app, lib))
    assert refused.value.hint == "`layer upgrade` moves them."
    assert "lib >= 2" in refused.value.message
    assert resolve(world, "app", "more", kept=(app, lib), policy="prefer") == [
        "app-1.0-1.noarch",
        "lib-2.0-1.noarch",
        "more-1.0-1.noarch",
    ]


def test_what_the_layered_packages_provide_needs_no_repository(world: World) -> None:
    app = build(world, "app", requires=["lib"], provides=["capability"], files={"/usr/bin/app": "x"})
    lib = build(world, "lib")
    asked = demand(world, "app", "lib", "capability", "/bin/app", kept=(app, lib))
    world.unplug()
    assert nevras(world.resolver().resolve(asked)) == ["app-1.0-1.noarch", "lib-1.0-1.noarch"]


def test_a_weak_dependency_that_was_not_there_is_not_brought_by_the_next_package(world: World) -> None:
    app = build(world, "app", recommends=["docs"])
    build(world, "docs")
    build(world, "more")
    world.repository.publish()
    assert resolve(world, "app", "more", kept=(app,)) == ["app-1.0-1.noarch", "more-1.0-1.noarch"]
    assert resolve(world, "app", "more") == ["app-1.0-1.noarch", "docs-1.0-1.noarch", "more-1.0-1.noarch"]


def test_a_weak_dependency_that_cannot_be_met_is_left_out(world: World) -> None:
    build(world, "app", recommends=["docs", "nowhere"])
    build(world, "docs", conflicts=["base-tool"])
    world.repository.publish()
    assert resolve(world, "app") == ["app-1.0-1.noarch"]


def test_offline_drops_what_no_request_needs_and_looks_at_no_repository(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"], recommends=["docs"]), build(world, "lib")
    other, own, docs = build(world, "other", requires=["own", "lib"]), build(world, "own"), build(world, "docs")
    everything = (app, lib, other, own, docs)
    both = demand(world, "app", "other", kept=everything, policy="offline")
    one = demand(world, "other", kept=everything, policy="offline")
    nothing = demand(world, kept=everything, policy="offline")
    world.unplug()
    resolver = world.resolver()
    assert len(resolver.resolve(both).packages) == 5
    resolution = resolver.resolve(one)
    assert nevras(resolution) == ["lib-1.0-1.noarch", "other-1.0-1.noarch", "own-1.0-1.noarch"]
    assert downloads(resolution, one) == []
    assert resolver.resolve(nothing).packages == ()


def test_offline_sees_no_repository_also_when_they_were_loaded_before(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"]), build(world, "lib")
    build(world, "lib", "2.0")
    build(world, "new")
    world.repository.publish()
    resolver = world.resolver()
    assert nevras(resolver.resolve(demand(world, "app", policy="upgrade"))) == ["app-1.0-1.noarch", "lib-2.0-1.noarch"]
    kept = demand(world, "app", kept=(app, lib), policy="offline")
    assert nevras(resolver.resolve(kept)) == ["app-1.0-1.noarch", "lib-1.0-1.noarch"]
    with pytest.raises(PackagesNotFound, match="new"):
        resolver.resolve(demand(world, "app", "new", kept=(app, lib), policy="offline"))


def test_a_layered_package_that_is_no_longer_cached_is_found_in_the_repository(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"]), build(world, "lib")
    build(world, "lib", "2.0")
    world.repository.publish()
    for policy in ("keep", "offline"):
        asked = Demand(requests("app"), (package(app), package(lib)), {package(app): world.header(app)}, policy)
        resolution = world.resolver().resolve(asked)
        assert (nevras(resolution), downloads(resolution, asked)) == (
            ["app-1.0-1.noarch", "lib-1.0-1.noarch"],
            ["lib-1.0-1.noarch"],
        )
    gone = Demand(requests("app"), (package(app), Package("lib-1.0-1.noarch", "0" * 64)), {package(app): app})
    with pytest.raises(ResolveError, match=r"neither in the package cache nor in any repository: lib-1\.0-1\.noarch"):
        world.resolver().resolve(gone)


def test_upgrade_takes_the_newest_and_drops_what_is_no_longer_needed(world: World) -> None:
    app, old = build(world, "app", requires=["old"]), build(world, "old")
    build(world, "app", "2.0", requires=["new"])
    build(world, "new")
    world.repository.publish()
    asked = demand(world, "app", kept=(app, old), policy="upgrade")
    resolution = world.resolver().resolve(asked)
    assert nevras(resolution) == downloads(resolution, asked) == ["app-2.0-1.noarch", "new-1.0-1.noarch"]


def test_upgrade_keeps_a_package_that_the_repository_has_dropped(world: World) -> None:
    app, lib = build(world, "app", requires=["lib"]), build(world, "lib")
    build(world, "lib", "2.0")
    world.repository.remove("app")
    world.repository.publish()
    app = build_rpm(world.directory / "elsewhere", "app", requires=["lib"])
    asked = demand(world, "app", kept=(app, lib_of(world)), policy="upgrade")
    resolution = world.resolver().resolve(asked)
    assert nevras(resolution) == ["app-1.0-1.noarch", "lib-2.0-1.noarch"]
    assert downloads(resolution, asked) == ["lib-2.0-1.noarch"]
    assert lib.exists()


def lib_of(world: World) -> Path:
    return world.repository.directory / "lib-1.0-1.noarch.rpm"


def test_upgrade_does_not_go_back_where_the_repository_has_only_an_older_one(world: World) -> None:
    app = build_rpm(world.directory / "elsewhere", "app", "2.0")
    build(world, "app", "1.0")
    world.repository.publish()
    assert resolve(world, "app", kept=(app,), policy="upgrade") == ["app-2.0-1.noarch"]


def test_upgrade_goes_back_where_what_is_layered_does_not_fit_the_base(world: World) -> None:
    app = build_rpm(world.directory / "elsewhere", "app", "2.0", requires=["bash >= 9"])
    build(world, "app", "1.0")
    world.repository.publish()
    assert resolve(world, "app", kept=(app,), policy="upgrade") == ["app-1.0-1.noarch"]


def test_one_package_that_cannot_be_upgraded_does_not_hold_up_the_others(world: World) -> None:
    app, lib, other, left = (build(world, each) for each in ("app", "lib", "other", "left"))
    app = build(world, "app", "1.5", requires=["lib"])
    build(world, "app", "2.0", requires=["nowhere"])
    build(world, "lib", "2.0")
    build(world, "other", "2.0")
    build(world, "left", "2.0")
    world.repository.publish()
    resolution = world.resolver().resolve(demand(world, "app", "other", kept=(app, lib, other, left), policy="upgrade"))
    assert nevras(resolution) == ["app-1.5-1.noarch", "lib-2.0-1.noarch", "other-2.0-1.noarch"]
    assert resolution.notes == ("app-1.5-1.noarch stays: app-2.0-1.noarch can't be installed.",)


def test_upgrade_prefers_to_stay_over_going_back(world: World) -> None:
    app = build_rpm(world.directory / "elsewhere", "app", "1.5")
    build(world, "app", "1.0")
    build(world, "app", "2.0", requires=["nowhere"])
    world.repository.publish()
    resolution = world.resolver().resolve(demand(world, "app", kept=(app,), policy="upgrade"))
    assert nevras(resolution) == ["app-1.5-1.noarch"]
    assert resolution.notes == ("app-1.5-1.noarch stays: app-2.0-1.noarch can't be installed.",)


def test_a_package_made_anew_under_its_nevra_is_taken_by_upgrade_and_left_alone_by_the_others(world: World) -> None:
    before = build_rpm(world.directory / "before", "app", files={"/usr/share/app": "before"})
    now = build(world, "app", files={"/usr/share/app": "now"})
    build(world, "more")
    world.repository.publish()
    for policy, expected in {"keep": before, "prefer": before, "upgrade": now}.items():
        asked = demand(world, "app", "more", kept=(before,), policy=policy)
        resolution = world.resolver().resolve(asked)
        assert resolution.packages[0].sha256 == rpms.sha256(expected), policy
        assert ("app-1.0-1.noarch" in downloads(resolution, asked)) == (expected is now)


def test_upgrade_downloads_nothing_that_is_cached(world: World) -> None:
    app = build(world, "app")
    world.repository.publish()
    asked = demand(world, "app", kept=(app,), policy="upgrade")
    resolution = world.resolver().resolve(asked)
    assert (nevras(resolution), downloads(resolution, asked)) == (["app-1.0-1.noarch"], [])


def test_prefer_moves_only_what_the_base_demands(world: World) -> None:
    app = build(world, "app", requires=["bash >= 5"])
    tied = build_rpm(world.directory / "elsewhere", "tied", requires=["bash = 4.0"])
    build(world, "app", "2.0")
    build(world, "tied", "2.0", requires=["bash = 5.2.26"])
    world.repository.publish()
    assert resolve(world, "app", "tied", kept=(app, tied), policy="prefer") == ["app-1.0-1.noarch", "tied-2.0-1.noarch"]


@pytest.mark.parametrize("policy", ["keep", "prefer", "upgrade"])
def test_the_base_is_neither_replaced_nor_obsoleted_nor_removed(world: World, policy: str) -> None:
    build(world, "bash", "9.0", arch="x86_64")
    build(world, "base-tool", "0.9")
    build(world, "needs-newer", requires=["bash >= 9"])
    build(world, "needs-older", requires=["base-tool < 1"])
    build(world, "usurper", obsoletes=["fedora-release"])
    build(world, "rival", conflicts=["filesystem"])
    build(world, "meek", requires=["bash"])
    world.repository.publish()
    for spec, message in {
        "needs-newer": "Base packages would be replaced: bash-5.2.26-3.x86_64 -> bash-9.0-1.x86_64",
        "bash = 9.0": "Base packages would be replaced: bash-5.2.26-3.x86_64 -> bash-9.0-1.x86_64",
        "needs-older": "Base packages would be replaced: base-tool-1.0-1.noarch -> base-tool-0.9-1.noarch",
        "usurper": "Base packages would be replaced: fedora-release-40-1.noarch -> usurper-1.0-1.noarch",
        "rival": "Base packages would be removed: filesystem-3.18-1.x86_64",
    }.items():
        with pytest.raises(BaseWouldChange) as refused:
            resolve(world, spec, policy=policy)
        assert refused.value.message.splitlines()[0] == message
    assert resolve(world, "meek", policy=policy) == ["meek-1.0-1.noarch"]


def test_a_base_package_of_another_architecture_comes_only_where_it_is_needed(world: World) -> None:
    build(world, "bash", "5.2.26", "3", arch="i686")
    build(world, "lib", arch="x86_64")
    build(world, "lib", arch="i686")
    build(world, "needs-32", arch="i686", requires=["bash(x86-32)"])
    build(world, "bash", "5.2.26", "3", arch="i686", provides=["bash(x86-32)"])
    world.repository.publish()
    assert resolve(world, "lib") == ["lib-1.0-1.x86_64"]
    assert resolve(world, "lib.i686", "lib.x86_64") == ["lib-1.0-1.i686", "lib-1.0-1.x86_64"]
    assert resolve(world, "needs-32") == ["bash-5.2.26-3.i686", "needs-32-1.0-1.i686"]
    assert resolve(world, "bash.i686") == ["bash-5.2.26-3.i686"]


def test_an_obsoleted_name_leads_to_what_obsoletes_it(world: World) -> None:
    old = build(world, "oldname")
    build(world, "newname", provides=["oldname = 2"], obsoletes=["oldname < 2"])
    world.repository.publish()
    assert resolve(world, "oldname") == ["newname-1.0-1.noarch"]
    assert resolve(world, "oldname", kept=(old,), policy="upgrade") == ["newname-1.0-1.noarch"]
    assert resolve(world, "oldname", kept=(old,)) == ["oldname-1.0-1.noarch"]


def test_conflicts_and_what_nothing_provides_are_told_in_a_sentence_each(world: World) -> None:
    left = build(world, "left", conflicts=["right"])
    build(world, "right")
    build(world, "needy", requires=["nowhere >= 3"])
    world.repository.publish()
    with pytest.raises(ResolveError, match=r"package left-1\.0-1\.noarch conflicts with right provided by right-1\.0"):
        resolve(world, "left", "right", kept=(left,))
    with pytest.raises(ResolveError) as refused:
        resolve(world, "needy")
    assert refused.value.message == (
        "Dependencies can't be met: nothing provides nowhere >= 3 needed by needy-1.0-1.noarch"
    )


def test_a_local_rpm_is_layered_as_it_is_and_the_repositories_give_what_it_lacks(world: World) -> None:
    mine = build_rpm(world.directory / "local", "mine", requires=["lib"])
    build(world, "mine", "9.0")
    build(world, "mine", files={"/usr/share/other": "other"})
    lib = build(world, "lib")
    world.repository.publish()
    for policy in ("keep", "prefer", "upgrade"):
        asked = demand(world, mine, policy=policy)
        resolution = world.resolver().resolve(asked)
        assert nevras(resolution) == ["lib-1.0-1.noarch", "mine-1.0-1.noarch"]
        assert downloads(resolution, asked) == ["lib-1.0-1.noarch"]
        assert resolution.packages[1] == package(mine, "@local")
    asked = demand(world, mine, kept=(lib,))
    world.unplug()
    assert nevras(world.resolver().resolve(asked)) == ["lib-1.0-1.noarch", "mine-1.0-1.noarch"]


def test_a_local_rpm_that_the_base_has_is_absorbed(world: World) -> None:
    same = build_rpm(world.directory / "local", "base-tool")
    older = build_rpm(world.directory / "local", "base-tool", "0.5")
    newer = build_rpm(world.directory / "local", "base-tool", "2.0")
    for path in (same, older):
        resolution = world.resolver().resolve(demand(world, path, policy="upgrade"))
        assert resolution.packages == ()
        assert resolution.provided_by_base == {rpms.nevra(path): "base-tool-1.0-1.noarch"}
    world.repository.publish()
    with pytest.raises(BaseWouldChange, match=r"base-tool-1\.0-1\.noarch -> base-tool-2\.0-1\.noarch"):
        resolve(world, newer)


def test_a_lost_local_rpm_is_named(world: World) -> None:
    asked = Demand((Request("mine-1.0-1.noarch", "0" * 64),))
    with pytest.raises(ResolveError, match=r"no longer in the package cache: mine-1\.0-1\.noarch"):
        world.resolver().resolve(asked)
