"""The layered commit: what its tree is, and that it is a function of its inputs and of nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, RPMDB, BaseTree
from tests.acceptance.checks import fails, unchanged
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host, resolve
from tests.acceptance.repositories import FOO, HttpServer, Repository
from tests.acceptance.rpms import File, Files, build_rpm

AWKWARD = ["an app", 'it\'s "quoted"', "100% [sure]", "back\\slash", "Ünïcode"]


def layer(host: Host, repository: Repository, name: str, files: Files, *, requires: tuple[str, ...] = ()) -> str:
    """Build the package into the repository and layer it; returns what the command said."""
    repository.build(name, files=files, requires=requires)
    repository.publish()
    result = host.ok("pkg-add", name)
    return result.stdout + result.stderr


# On the base, a function of its inputs


def test_the_parent_is_the_base_commit(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    assert host.commit_of() != bare
    assert host.parent_of(host.commit_of()) == bare
    assert host.current()["base_commit"] == bare
    assert host.current()["commit"] == host.commit_of()


def test_every_layer_is_applied_on_the_base_and_never_on_a_layer(host: Host, base: BaseTree) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    host.ok("pkg-add", "baz")
    assert host.parent_of(host.commit_of()) == bare
    host.ok("pkg-delete", "foo")
    assert host.parent_of(host.commit_of()) == bare
    newer = base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.parent_of(host.commit_of()) == newer


def test_the_tree_is_the_base_and_the_packages_and_the_rpmdb_knows_both(host: Host) -> None:
    before = {path.relative_to(host.deployment()) for path in (host.deployment() / "usr").rglob("*")}
    host.ok("pkg-add", "foo")
    after = {path.relative_to(host.deployment()) for path in (host.deployment() / "usr").rglob("*")}
    assert before - after == set()
    assert {str(path) for path in after - before} == {"usr/bin/foo", "usr/share/foo", "usr/share/foo/data"}
    assert host.rpm_nevras() == sorted([*host.rpm_nevras(1), FOO])
    assert [path.name for path in (host.deployment() / RPMDB).iterdir()] == ["rpmdb.sqlite"]


def test_the_same_inputs_give_the_same_commit_on_any_host_and_in_any_order(
    install_host: InstallHost, repository: Repository
) -> None:
    one, other = install_host(repository.repo_file()), install_host(repository.repo_file())
    one.ok("pkg-add", "foo")
    one.ok("pkg-add", "bar")
    other.ok("pkg-add", "bar", "baz")
    other.ok("pkg-add", "foo")
    other.ok("pkg-delete", "baz")
    assert one.current()["layered"] == other.current()["layered"]
    assert one.commit_of() == other.commit_of()


def test_the_same_inputs_give_the_same_commit_whatever_the_clock_and_the_umask_say(
    install_host: InstallHost, repository: Repository
) -> None:
    one, other = install_host(repository.repo_file()), install_host(repository.repo_file())
    one.ok("pkg-add", "bar")
    umask = os.umask(0o077)
    try:
        other.run("pkg-add", "bar", env={"TZ": "Asia/Tokyo", "LANG": "C", "SOURCE_DATE_EPOCH": "1"}, check=0)
    finally:
        os.umask(umask)
    assert one.commit_of() == other.commit_of()


def test_going_back_to_the_same_set_is_the_same_commit(host: Host) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    host.ok("pkg-add", "baz")
    host.ok("pkg-delete", "baz")
    assert host.commit_of() == layered


def test_an_rpm_with_other_bytes_under_the_same_nevra_is_another_layer(
    install_host: InstallHost, repository: Repository, tmp_path: Path
) -> None:
    other_repository = repository.copy_to(tmp_path / "other-packages")
    build_rpm(other_repository.directory, "foo", files={"/usr/bin/foo": "something else\n"})
    other_repository.publish()
    one, other = install_host(repository.repo_file()), install_host(other_repository.repo_file())
    one.ok("pkg-add", "foo")
    other.ok("pkg-add", "foo")
    assert one.current()["layered"] == other.current()["layered"] == [FOO]
    assert one.commit_of() != other.commit_of()
    assert other.read("/usr/bin/foo") == "something else\n"


# What is downloaded, and which version is laid


def test_an_upgrade_downloads_no_package_again(
    install_host: InstallHost, repository: Repository, web: HttpServer, base: BaseTree
) -> None:
    host = install_host(repository.repo_file(url=web.url))
    host.ok("pkg-add", "foo", "bar")
    assert web.count("*.rpm") == 3
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-delete", "foo")
    assert host.current()["layered"] == ["bar-1.0-1.noarch", "foo-libs-1.0-1.x86_64"]
    host.ok("pkg-add", "foo")
    assert web.count("*.rpm") == 3


def test_pkg_add_downloads_only_the_new_packages(
    install_host: InstallHost, repository: Repository, web: HttpServer
) -> None:
    host = install_host(repository.repo_file(url=web.url))
    host.ok("pkg-add", "foo")
    host.ok("pkg-add", "baz")
    assert {path for path in web.requests if path.endswith(".rpm")} == {f"/{FOO}.rpm", "/baz-1.0-1.noarch.rpm"}
    assert web.count("*.rpm") == 2


def test_pkg_add_keeps_the_layered_version_and_upgrade_moves_it(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "foo")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "#!/bin/sh\necho foo 2\n"})
    repository.publish()
    host.ok("pkg-add", "baz")
    assert host.current()["layered"] == ["baz-1.0-1.noarch", FOO]
    host.ok("pkg-delete", "baz")
    assert host.current()["layered"] == [FOO]
    host.ok("upgrade")
    assert host.current()["layered"] == ["foo-2.0-1.noarch"]
    assert host.last()["upgraded"] == [[FOO, "foo-2.0-1.noarch"]]
    assert host.read("/usr/bin/foo") == "#!/bin/sh\necho foo 2\n"


def test_pkg_add_keeps_a_version_that_the_repository_has_dropped(host: Host, repository: Repository) -> None:
    host.ok("pkg-add", "foo")
    repository.remove("foo")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "#!/bin/sh\necho foo 2\n"})
    repository.publish()
    host.ok("pkg-add", "baz")
    assert host.current()["layered"] == ["baz-1.0-1.noarch", FOO]


def test_an_upgrade_keeps_a_package_that_no_repository_has_any_more(
    host: Host, repository: Repository, base: BaseTree
) -> None:
    host.ok("pkg-add", "foo")
    repository.remove("foo")
    repository.publish()
    newer = base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert host.current()["base_commit"] == newer
    assert host.current()["layered"] == [FOO]


def test_the_newest_version_is_layered_by_epoch_first(host: Host, repository: Repository) -> None:
    repository.build("foo", "0.9", epoch=1, files={"/usr/bin/foo": "the newest\n"})
    repository.publish()
    host.ok("pkg-add", "foo")
    assert host.current()["layered"] == ["foo-1:0.9-1.noarch"]


# What the files are


def test_modes_owners_and_capabilities_are_exact(host: Host, repository: Repository) -> None:
    files: Files = {
        "/usr/bin/setuid": File("s\n", mode=0o4755),
        "/usr/bin/setgid": File("g\n", mode=0o2711, user="adm", group="games"),
        "/usr/bin/ping": File("p\n", mode=0o755, caps="cap_net_raw=ep"),
        "/usr/share/exact": File(directory=True, mode=0o1751, user="games", group="adm"),
        "/usr/share/exact/secret": File("x\n", mode=0o400, user="bin", group="daemon"),
        "/usr/share/exact/link": File(symlink="secret", user="adm"),
    }
    layer(host, repository, "exact", files)
    found = {path: host.stat(path) for path in files}
    assert {path: (oct(info.st_mode & 0o7777), info.st_uid, info.st_gid) for path, info in found.items()} == {
        "/usr/bin/setuid": ("0o4755", 0, 0),
        "/usr/bin/setgid": ("0o2711", 3, 12),
        "/usr/bin/ping": ("0o755", 0, 0),
        "/usr/share/exact": ("0o1751", 12, 3),
        "/usr/share/exact/secret": ("0o400", 2 - 1, 2),
        "/usr/share/exact/link": ("0o777", 3, 0),
    }
    assert stat.S_ISLNK(found["/usr/share/exact/link"].st_mode)
    capabilities = os.getxattr(host.path("/usr/bin/ping"), "security.capability")
    effective, net_raw = 1, 1 << 13
    assert int.from_bytes(capabilities[0:1], "little") & effective
    assert int.from_bytes(capabilities[4:8], "little") == net_raw
    assert os.listxattr(host.path("/usr/bin/setuid")) == []


def test_hardlinked_files_all_have_their_content(host: Host, repository: Repository) -> None:
    files: Files = {
        "/usr/bin/first": File("the payload\n", mode=0o4755),
        "/usr/bin/lone": "alone\n",
        "/usr/bin/second": File(hardlink_to="/usr/bin/first"),
        "/usr/share/third": File(hardlink_to="/usr/bin/first"),
        "/usr/share/zero": "the end\n",
    }
    layer(host, repository, "linked", files)
    linked = ["/usr/bin/first", "/usr/bin/second", "/usr/share/third"]
    assert [host.read(path) for path in linked] == ["the payload\n"] * 3
    assert {oct(host.stat(path).st_mode & 0o7777) for path in linked} == {"0o4755"}
    assert host.read("/usr/bin/lone") == "alone\n"
    assert host.read("/usr/share/zero") == "the end\n"


def test_empty_hardlinked_files_and_empty_packages_are_layered(host: Host, repository: Repository) -> None:
    layer(host, repository, "hollow", {"/usr/share/a": "", "/usr/share/b": File(hardlink_to="/usr/share/a")})
    assert (host.read("/usr/share/a"), host.read("/usr/share/b")) == ("", "")
    layer(host, repository, "nothing", {})
    assert "nothing-1.0-1.noarch" in host.rpm_nevras()


def test_awkward_file_names_are_laid_as_they_are(host: Host, repository: Repository) -> None:
    layer(host, repository, "awkward", {f"/usr/share/awkward/{name}": f"{name}\n" for name in AWKWARD})
    assert sorted(path.name for path in host.path("/usr/share/awkward").iterdir()) == sorted(AWKWARD)
    assert all(host.read(f"/usr/share/awkward/{name}") == f"{name}\n" for name in AWKWARD)


def test_paths_lead_through_the_links_of_the_base(host: Host, repository: Repository) -> None:
    files: Files = {
        "/bin/tool": "#!/bin/sh\n",
        "/sbin/admin-tool": "#!/bin/sh\n",
        "/lib/tool/data": "data\n",
        "/lib64/libtool.so.1": "libtool\n",
    }
    layer(host, repository, "old-style", files)
    root = host.deployment()
    links = {name: str((root / name).readlink()) for name in ("bin", "sbin", "lib", "lib64")}
    assert links == {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
    laid = ["usr/bin/tool", "usr/sbin/admin-tool", "usr/lib/tool/data", "usr/lib64/libtool.so.1"]
    assert all((root / path).is_file() for path in laid)


def test_a_directory_that_the_base_has_keeps_its_content(host: Host, repository: Repository) -> None:
    files: Files = {"/usr/share/base-tool": File(directory=True), "/usr/share/base-tool/more": "more\n"}
    layer(host, repository, "more", files)
    assert host.read("/usr/share/base-tool/data") == "base\n"
    assert host.read("/usr/share/base-tool/more") == "more\n"


# Where the files go


def test_etc_lies_in_usr_etc_and_is_merged_into_etc(host: Host, repository: Repository) -> None:
    host.write("/etc/mine.conf", "mine\n")
    layer(host, repository, "configured", {"/etc/tool/tool.conf": File("a=1\n", mode=0o640, config=True)})
    assert host.read("/usr/etc/tool/tool.conf") == "a=1\n"
    assert host.read("/etc/tool/tool.conf") == "a=1\n"
    assert host.read("/etc/mine.conf") == "mine\n"
    assert not host.exists("/usr/etc/mine.conf")


def test_opt_lies_in_usr_lib_opt_and_is_reached_by_its_own_name(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    layer(host, repository, "app", {"/opt/app/bin/run": "#!/bin/sh\n", '/opt/an app/it\'s "here"': "here\n"})
    assert host.read("/usr/lib/opt/app/bin/run") == "#!/bin/sh\n"
    root = host.boot(tmp_path)
    assert (root / "var/opt/app").is_symlink()
    for path in ("/opt/app/bin/run", '/opt/an app/it\'s "here"'):
        assert resolve(root, path).read_text() == host.read(path.replace("/opt/", "/usr/lib/opt/"))


def test_a_fresh_var_is_filled_by_the_fragments_of_base_and_packages_alone(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    """The package's fragment is read before the base's, which makes what the base's /opt and /home lead to."""
    files: Files = {
        "/opt/app/bin/run": "#!/bin/sh\n",
        '/opt/an app/it\'s "here"': "here\n",
        "/home/app": File(directory=True, mode=0o700),
        "/var/lib/app/deep": File(directory=True),
    }
    layer(host, repository, "app", files)
    root = tmp_path / "booted"
    fragments = root / "usr/lib/tmpfiles.d"
    shutil.copytree(host.deployment() / "usr/lib/tmpfiles.d", fragments)
    shutil.copytree(host.deployment() / "usr/lib/opt", root / "usr/lib/opt")
    shutil.copytree(host.deployment() / "usr/etc", root / "etc", symlinks=True)
    for name in ("home", "opt"):
        (root / name).symlink_to(host.deployment().joinpath(name).readlink())
    (root / "var").mkdir()
    assert sorted(fragments.iterdir())[0].name == "pkg-app.conf"
    done = subprocess.run(
        ["systemd-tmpfiles", f"--root={root}", "--create"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert resolve(root, "/opt/app/bin/run").read_text() == "#!/bin/sh\n"
    assert resolve(root, '/opt/an app/it\'s "here"').read_text() == "here\n"
    assert (root / "var/home/app").stat().st_mode & 0o7777 == 0o700
    assert (root / "var/lib/app/deep").is_dir()


def test_directories_and_links_in_var_and_run_are_made_by_tmpfiles(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    files: Files = {
        "/var/lib/app": File(directory=True, mode=0o2770, group="adm"),
        "/var/lib/app/current": File(symlink="versions/1"),
        "/var/lib/an app": File(directory=True),
        "/run/app": File(directory=True, mode=0o700, user="games"),
    }
    layer(host, repository, "app", files)
    assert list((host.deployment() / "var").iterdir()) == []
    assert list((host.deployment() / "run").iterdir()) == []
    root = host.boot(tmp_path)
    state, runtime = (root / "var/lib/app").stat(), (root / "run/app").stat()
    assert (oct(state.st_mode & 0o7777), state.st_uid, state.st_gid) == ("0o2770", 0, 3)
    assert (oct(runtime.st_mode & 0o7777), runtime.st_uid, runtime.st_gid) == ("0o700", 12, 0)
    assert str((root / "var/lib/app/current").readlink()) == "versions/1"
    assert (root / "var/lib/an app").is_dir()


def test_files_in_var_are_dropped_with_a_note(host: Host, repository: Repository, tmp_path: Path) -> None:
    said = layer(host, repository, "app", {"/usr/bin/app": "app\n", "/var/lib/app/data": "data\n"})
    assert "/var/lib/app/data" in said
    assert not host.exists("/var/lib/app")
    assert not resolve(host.boot(tmp_path), "/var/lib/app/data").exists()
    assert host.read("/usr/bin/app") == "app\n"


@pytest.mark.parametrize("path", ["/usr/local/bin/tool", "/usr/lib/modules/6.2.0/vmlinuz"])
def test_what_is_the_administrators_or_the_kernels_is_refused(host: Host, repository: Repository, path: str) -> None:
    repository.build("misplaced", files={path: "x\n"})
    repository.publish()
    with unchanged(host):
        result = host.run("pkg-add", "misplaced", check=1)
    assert "misplaced" in result.stderr
    assert path.rpartition("/")[0].removesuffix("/bin") in result.stderr
    assert host.last()["outcome"] in {"refused", "failed"}


def test_a_device_node_is_refused(host: Host, repository: Repository) -> None:
    repository.build("device", files={"/usr/share/null": File(device="c,1,3")})
    repository.publish()
    with unchanged(host):
        result = host.run("pkg-add", "device", check=1)
    assert "device-1.0-1.noarch" in result.stderr
    assert "/usr/share/null" in result.stderr


def test_a_ghost_is_not_laid(host: Host, repository: Repository) -> None:
    layer(host, repository, "haunted", {"/usr/bin/haunted": "x\n", "/usr/share/haunted": File(ghost=True)})
    assert host.read("/usr/bin/haunted") == "x\n"
    assert not host.exists("/usr/share/haunted")


# Between packages


def test_identical_files_of_two_packages_merge(host: Host) -> None:
    host.ok("pkg-add", "twin-a", "twin-b")
    assert host.read("/usr/share/twin") == "the same\n"
    assert {"twin-a", "twin-b"} <= set(host.rpm_names())


def test_different_content_is_an_error_that_names_both_owners(host: Host) -> None:
    result = fails(host, "pkg-add", "clash-a", "clash-b")
    assert "/usr/share/clash" in result.stderr
    assert "clash-a-1.0-1.noarch" in result.stderr
    assert "clash-b-1.0-1.noarch" in result.stderr


def test_the_same_content_with_another_mode_is_different_content(host: Host, repository: Repository) -> None:
    repository.build("twin-c", files={"/usr/share/twin": File("the same\n", mode=0o4755)})
    repository.publish()
    result = fails(host, "pkg-add", "twin-a", "twin-c")
    assert "/usr/share/twin" in result.stderr


def test_a_file_of_the_base_is_merged_when_identical_and_else_an_error(host: Host, repository: Repository) -> None:
    repository.build("same-tool", files={"/usr/bin/base-tool": "#!/bin/sh\n"})
    repository.build("other-tool", files={"/usr/bin/base-tool": "#!/bin/bash\n"})
    repository.publish()
    host.ok("pkg-add", "same-tool")
    result = fails(host, "pkg-add", "other-tool")
    assert "/usr/bin/base-tool" in result.stderr
    assert "base-tool-1.0-1.noarch" in result.stderr
    assert "other-tool-1.0-1.noarch" in result.stderr


def test_packages_that_conflict_are_not_layered_together(host: Host) -> None:
    with unchanged(host):
        result = host.run("pkg-add", "left", "right", check=1)
    assert "left" in result.stderr
    assert "right" in result.stderr
    host.ok("pkg-add", "left")
    with unchanged(host):
        host.run("pkg-add", "right", check=1)
    assert host.current()["requested"] == ["left"]


@pytest.mark.parametrize(
    "relation", [{"requires": ["base-tool >= 2"]}, {"obsoletes": ["base-tool < 3"]}, {"conflicts": ["base-tool < 2"]}]
)
def test_a_package_of_the_base_is_never_replaced_or_removed(
    host: Host, repository: Repository, relation: dict[str, list[str]]
) -> None:
    repository.build("base-tool", "2.0", files={"/usr/bin/base-tool": "newer\n"})
    repository.build("pushy", files={"/usr/bin/pushy": "pushy\n"}, **relation)
    repository.publish()
    with unchanged(host):
        result = host.run("pkg-add", "pushy", check=1)
    assert "base-tool-1.0-1.noarch" in result.stderr
    assert host.last()["outcome"] in {"refused", "failed"}


def test_a_newer_version_in_the_repository_does_not_touch_the_base(host: Host, repository: Repository) -> None:
    repository.build("base-tool", "2.0", files={"/usr/bin/base-tool": "newer\n"})
    repository.build("modest", requires=["base-tool"])
    repository.publish()
    host.ok("pkg-add", "modest")
    assert host.current()["layered"] == ["modest-1.0-1.noarch"]
    assert host.read("/usr/bin/base-tool") == "#!/bin/sh\n"


def test_what_a_package_recommends_is_layered_too(host: Host, repository: Repository) -> None:
    repository.build("friendly", recommends=["foo", "not-to-be-had"])
    repository.publish()
    host.ok("pkg-add", "friendly")
    assert host.current()["layered"] == [FOO, "friendly-1.0-1.noarch"]


# Scripts


@pytest.mark.parametrize("section", ["%preun", "%postun", "%triggerun -- foo", "%triggerpostun -- foo"])
def test_a_script_that_never_runs_is_no_reason_to_refuse(host: Host, repository: Repository, section: str) -> None:
    repository.build("tidy", files={"/usr/bin/tidy": "x\n"}, scripts={section: "exit 1"})
    repository.publish()
    host.ok("pkg-add", "tidy")
    assert host.read("/usr/bin/tidy") == "x\n"


# The pkgcache


def test_the_pkgcache_is_only_a_cache(host: Host) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    caches = [config.parent for config in host.repo.glob("extensions/*/*/config")]
    assert caches
    for cache in caches:
        shutil.rmtree(cache)
    host.ok("pkg-add", "baz")
    host.ok("pkg-delete", "baz")
    assert host.commit_of() == layered
