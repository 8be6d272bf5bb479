"""Scripts of packages: what runs, in which order and in what surroundings, and what of it is in the layer.

The base has busybox, statically linked, for its shell; what makes users comes with its libraries from the machine.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, RPMDB, BaseTree
from tests.acceptance.checks import fails
from tests.acceptance.conftest import CopyHost, InstallHost
from tests.acceptance.host import Host
from tests.acceptance.programs import with_libraries
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files, build_rpm
from tests.acceptance.scripted import RULES, image_with_shell, layered, publish


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    return image_with_shell(tmp_path / "remote")


# What runs, and when


def test_pre_of_all_comes_first_then_post_then_posttrans_each_in_the_order_of_their_needs(
    host: Host, repository: Repository
) -> None:
    sections = ("%pre", "%post", "%posttrans")
    for name, requires in (("a-last", ["b-first"]), ("b-first", [])):
        scripts = {section: f"echo {name} {section} $# $1 >> /usr/share/order" for section in sections}
        publish(repository, name, scripts, requires=requires)
    host.ok("pkg-add", "a-last")
    expected = [f"{name} {section} 1 1" for section in sections for name in ("b-first", "a-last")]
    assert host.read("/usr/share/order").splitlines() == expected


def test_no_other_scriptlet_runs(host: Host, repository: Repository) -> None:
    never = (
        "%preun",
        "%postun",
        "%verifyscript",
        "%triggerun -- bash",
        "%triggerpostun -- bash",
        "%triggerprein -- bash",
    )
    scripts = dict.fromkeys(never, "touch /usr/share/wrong; exit 1")
    layered(host, repository, "tidy", {**scripts, "%pretrans -p <lua>": "io.open('/usr/share/wrong', 'w') error('no')"})
    assert host.exists("/usr/share/tidy")
    assert not host.exists("/usr/share/wrong")


def test_a_trigger_runs_for_what_the_base_has_and_for_what_is_layered_with_it(
    host: Host, repository: Repository
) -> None:
    note = "echo $0 $1 $2 >> /usr/share/triggered"
    publish(repository, "target", {}, {"/usr/share/target": "x\n"})
    scripts = {
        "%triggerin -- bash >= 5": f"{note}-base",
        "%triggerin -- target": f"{note}-layer",
        "%triggerin -- absent": "exit 1",
        "%triggerin -- bash > 9": "exit 1",
    }
    publish(repository, "watcher", scripts)
    host.ok("pkg-add", "watcher", "target")
    assert host.read("/usr/share/triggered-base").split()[1:] == ["1", "1"]
    assert len(host.read("/usr/share/triggered-base").splitlines()) == 1
    assert len(host.read("/usr/share/triggered-layer").splitlines()) == 1


@pytest.fixture
def watching_base(tmp_path: Path, base: BaseTree) -> BaseTree:
    """A base whose own package waits for files and for a package."""
    scripts = {
        "%transfiletriggerin -- /usr/share/watched": "cat > /usr/share/seen",
        "%triggerin -- visitor": "echo $1 $2 > /usr/share/met",
    }
    tree = base.with_packages([build_rpm(tmp_path / "rpms", "base-watcher", scripts=scripts)])
    tree.commit(BRANCH, "2")
    return tree


def test_triggers_of_the_base_hear_of_what_is_layered_and_of_no_more(
    watching_base: BaseTree, install_host: InstallHost, repository: Repository
) -> None:
    host = install_host(repository.repo_file())
    repository.build(
        "visitor", files={"/usr/share/watched/b": "b\n", "/usr/share/watched/a": "a\n", "/usr/share/c": "c\n"}
    )
    repository.build("stranger", files={"/usr/share/stranger": "s\n"})
    repository.publish()
    host.ok("pkg-add", "stranger")
    assert not host.exists("/usr/share/seen")
    host.ok("pkg-add", "visitor")
    assert host.read("/usr/share/seen") == "/usr/share/watched/a\n/usr/share/watched/b\n"
    assert host.read("/usr/share/met") == "1 1\n"


def test_a_new_file_trigger_hears_of_the_base_s_files_too(host: Host, repository: Repository) -> None:
    scripts = {
        "%filetriggerin -- /usr/share/base-tool /usr/share/own": "cat > /usr/share/by-package",
        "%transfiletriggerin -- /usr/share/base-tool": "cat > /usr/share/by-transaction",
        "%transfiletriggerin -- /usr/share/nothing": "exit 1",
    }
    layered(host, repository, "watcher", scripts, {"/usr/share/own/x": "x\n"})
    assert host.read("/usr/share/by-package") == "/usr/share/base-tool/data\n/usr/share/own/x\n"
    assert host.read("/usr/share/by-transaction") == "/usr/share/base-tool/data\n"


def test_file_triggers_run_by_priority(host: Host, repository: Repository) -> None:
    scripts = {
        "%transfiletriggerin -P 10 -- /usr/share": "cat >/dev/null; echo late >> /usr/share/order",
        "%transfiletriggerin -P 2000000 -- /usr/share": "cat >/dev/null; echo early >> /usr/share/order",
    }
    layered(host, repository, "watcher", scripts)
    assert host.read("/usr/share/order") == "early\nlate\n"


# What a script finds


def test_a_script_sees_its_own_package_s_files_and_those_of_the_base(host: Host, repository: Repository) -> None:
    scripts = {
        section: f"cat /usr/share/seer {RULES}/one > /usr/share/saw{section[1:]}" for section in ("%pre", "%post")
    }
    layered(host, repository, "seer", scripts)
    assert host.read("/usr/share/sawpre") == host.read("/usr/share/sawpost") == "seer\none\n"


def test_the_surroundings_are_those_of_an_image_build(host: Host, repository: Repository) -> None:
    lines = [
        "env > /usr/share/env",
        "ls /sys/class/net 2>/dev/null > /usr/share/net; cat /proc/net/dev >> /usr/share/net",
        "test -e /run/ostree-booted && echo yes > /usr/share/booted",
        "echo x > /var/tmp/x && echo x > /tmp/x && echo ok > /usr/share/tmp",
        "awk '/^CapEff/ { print $2 }' /proc/self/status > /usr/share/capabilities",
        "ps -o pid | awk 'END { print NR }' > /usr/share/processes",
        "umask > /usr/share/umask",
        "(mknod /usr/share/device c 1 3) 2>/dev/null || echo refused > /usr/share/mknod",
        "pwd > /usr/share/pwd",
        "id -u > /usr/share/id",
    ]
    layered(host, repository, "nosy", {"%post": "\n".join(lines)})
    variables = host.read("/usr/share/env").splitlines()
    assert "SYSTEMD_OFFLINE=1" in variables
    assert not any("LAYER" in each or "SUDO" in each for each in variables)
    assert re.findall(r"^\s*(\w+):", host.read("/usr/share/net"), re.MULTILINE) == ["lo"]
    assert host.read("/usr/share/booted") == "yes\n"
    assert host.read("/usr/share/tmp") == "ok\n"
    capabilities = int(host.read("/usr/share/capabilities"), 16)
    assert not capabilities & (1 << 21 | 1 << 12 | 1 << 2 | 1 << 27)  # SYS_ADMIN, NET_ADMIN, DAC_READ_SEARCH, MKNOD
    assert int(host.read("/usr/share/processes")) < 12
    assert host.read("/usr/share/umask") == "0022\n"
    assert host.read("/usr/share/mknod") == "refused\n"
    assert host.read("/usr/share/pwd") == "/\n"
    assert host.read("/usr/share/id") == "0\n"


def test_nothing_of_the_host_is_there(host: Host, repository: Repository, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    script = f"test -e {secret} && exit 3; test -e {host.sysroot} && exit 4; test -e /run/dbus && exit 5; :"
    layered(host, repository, "nosy", {"%post": script})


def test_rpm_state_is_there_from_pre_to_posttrans_and_not_in_the_layer(host: Host, repository: Repository) -> None:
    scripts = {"%pre": "echo kept > /var/lib/rpm-state/x", "%posttrans": "cat /var/lib/rpm-state/x > /usr/share/state"}
    layered(host, repository, "stateful", scripts)
    assert host.read("/usr/share/state") == "kept\n"


def test_opt_is_where_the_package_put_it(host: Host, repository: Repository) -> None:
    layered(host, repository, "app", {"%post": "cat /opt/app/name > /opt/app/copy"}, {"/opt/app/name": "app\n"})
    assert host.read("/usr/lib/opt/app/copy") == "app\n"


def test_rpm_can_be_asked_inside_and_its_database_stays_ours(
    base: BaseTree, install_host: InstallHost, repository: Repository
) -> None:
    macros = {f"/usr/lib/rpm/{name}": File(Path("/usr/lib/rpm", name).read_bytes()) for name in ("rpmrc", "macros")}
    base.with_files({**with_libraries("rpm"), **macros}).commit(BRANCH, "2")
    host = install_host(repository.repo_file())
    ask = "/usr/bin/rpm --dbpath /usr/share/rpm -q --qf '%{NAME}\\n' bash > /usr/share/answer"
    layered(host, repository, "asker", {"%post": ask})
    assert host.read("/usr/share/answer") == "bash\n"
    assert [path.name for path in (host.deployment() / RPMDB).iterdir()] == ["rpmdb.sqlite"]
    assert "asker-1.0-1.noarch" in host.rpm_nevras()


# What of it is in the layer


def test_new_changed_and_removed_files_are_in_the_layer_and_the_base_is_what_it_was(
    host: Host, repository: Repository
) -> None:
    script = f"""
echo new > /usr/share/new; chmod 0640 /usr/share/new
echo more >> {RULES}/one
rm {RULES}/two
rm -r {RULES}/deep; mkdir {RULES}/deep; echo four > {RULES}/deep/four
ln -s new /usr/share/link
echo colour=blue > /etc/settings
echo hello > /etc/hello
mv /usr/share/editor /usr/share/edited
"""
    layered(host, repository, "editor", {"%post": script})
    assert host.read("/usr/share/new") == "new\n"
    assert stat.S_IMODE(host.stat("/usr/share/new").st_mode) == 0o640
    assert host.read(f"{RULES}/one") == "one\nmore\n"
    assert not host.exists(f"{RULES}/two")
    assert [path.name for path in host.path(f"{RULES}/deep").iterdir()] == ["four"]
    assert host.path("/usr/share/link").readlink() == Path("new")
    assert host.read("/usr/etc/settings") == host.read("/etc/settings") == "colour=blue\n"
    assert host.read("/usr/etc/hello") == "hello\n"
    assert not host.exists("/usr/share/editor")
    assert host.read("/usr/share/edited") == "editor\n"
    assert host.read(f"{RULES}/one", 1) == "one\n"
    assert host.read(f"{RULES}/two", 1) == "two\n"
    assert host.read("/etc/settings", 1) == "colour=red\n"


def test_what_a_script_leaves_as_it_was_is_the_same_object(host: Host, repository: Repository) -> None:
    copied = f"cp {RULES}/two /tmp/two; cat /tmp/two > {RULES}/two"
    script = f"touch {RULES} {RULES}/one; {copied}; chmod 0644 {RULES}/deep/three"
    layered(host, repository, "fidget", {"%post": script})
    command = ["ostree", "diff", f"--repo={host.repo}", host.commit_of(1), host.commit_of()]
    changed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert sorted(line.split()[-1] for line in changed) == ["/usr/share/fidget", "/usr/share/rpm/rpmdb.sqlite"]


def test_a_package_without_a_script_to_run_gives_the_same_tree_whatever_else_is_decided(
    host: Host, copy_host: CopyHost
) -> None:
    other = copy_host(host)
    host.ok("pkg-add", "foo")
    other.ok("pkg-add", "--scripts=skip", "foo")

    def tree(of: Host) -> list[str]:
        return subprocess.run(
            ["ostree", "ls", f"--repo={of.repo}", "-RC", of.commit_of()], check=True, capture_output=True, text=True
        ).stdout.splitlines()

    assert tree(host) == tree(other)


def test_a_fifo_that_a_script_made_is_left_out_and_told(host: Host, repository: Repository) -> None:
    said = layered(host, repository, "piper", {"%post": "mkfifo /usr/share/pipe"})
    assert not host.exists("/usr/share/pipe")
    assert "/usr/share/pipe" in said


def test_the_same_inputs_give_the_same_commit_on_another_host_and_from_a_cached_checkout(
    host: Host, repository: Repository, copy_host: CopyHost
) -> None:
    script = f"echo x > /usr/share/made; rm {RULES}/two; env > /usr/share/env; hostname > /usr/share/name"
    publish(repository, "maker", {"%post": script})
    publish(repository, "other", {"%post": "echo y >> /usr/share/made-too"})
    other = copy_host(host)
    host.ok("pkg-add", "maker")
    other.ok("pkg-add", "other")
    other.ok("pkg-add", "maker")  # the base is no longer deployed: from here on it comes from the checkout
    bare = host.commit_of(1)
    assert bare not in {name.partition(".")[0] for name in other.deployments()}
    assert not (other.repo / "extensions/layer/base").exists()
    umask = os.umask(0o077)
    try:
        other.run("pkg-delete", "other", env={"TZ": "Asia/Tokyo", "LANG": "C"}, check=0)
    finally:
        os.umask(umask)
    assert other.commit_of() == host.commit_of()
    assert [path.name for path in (other.repo / "extensions/layer/base").iterdir()] == [bare]


# Users and groups


@pytest.fixture
def base_with_accounts(base: BaseTree) -> BaseTree:
    tools = with_libraries("useradd", "groupadd", "usermod", "systemd-sysusers")
    files = {
        **tools,
        "/usr/etc/login.defs": File("SYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\n"),
        "/usr/etc/shadow": File("root:*:19000::::::\n", mode=0o600),
        "/usr/etc/gshadow": File("root:*::\n", mode=0o600),
        "/usr/etc/nsswitch.conf": File("passwd: files\ngroup: files\n"),
    }
    tree = base.with_files(files)
    tree.commit(BRANCH, "2")
    return tree


def test_a_user_that_pre_makes_is_in_the_tree_and_owns_the_package_s_files(
    base_with_accounts: BaseTree, install_host: InstallHost, repository: Repository, tmp_path: Path
) -> None:
    host = install_host(repository.repo_file())
    files: Files = {
        "/usr/bin/helper": File("helper\n", mode=0o4755, user="svc", group="svc"),
        "/usr/share/svc": File(directory=True, mode=0o2750, group="svc"),
        "/usr/share/svc/data": File("data\n", mode=0o640, user="svc", group="svc"),
        "/usr/bin/pinger": File("pinger\n", group="svc", caps="cap_net_raw=ep"),
        "/usr/share/svc/ghost": File("", mode=0o600, user="svc", ghost=True),
        "/etc/svc.conf": File("a=1\n", mode=0o640, group="svc", config=True),
        "/var/lib/svc": File(directory=True, mode=0o750, user="svc", group="svc"),
        "/run/svc": File(directory=True, mode=0o2775, group="svc"),
    }
    pre = "groupadd -r svc && useradd -r -g svc -d / -s /sbin/nologin svc && usermod -a -G games svc"
    layered(
        host, repository, "svc", {"%pre": pre, "%post": "stat -c '%U %a' /usr/bin/helper > /usr/share/owner"}, files
    )
    passwd, group = host.read("/usr/lib/passwd"), host.read("/usr/lib/group")
    uid, gid = (int(re.findall(r"^svc:[^:]*:(\d+):", text, re.MULTILINE)[0]) for text in (passwd, group))
    assert 100 <= uid <= 999
    assert re.search(r"^games:x:12:svc$", group, re.MULTILINE)
    assert "svc" not in host.read("/usr/etc/passwd") + host.read("/usr/etc/group")
    helper = host.stat("/usr/bin/helper")
    assert (helper.st_uid, helper.st_gid, stat.S_IMODE(helper.st_mode)) == (uid, gid, 0o4755)
    directory = host.stat("/usr/share/svc")
    assert (directory.st_uid, directory.st_gid, stat.S_IMODE(directory.st_mode)) == (0, gid, 0o2750)
    assert os.getxattr(host.path("/usr/bin/pinger"), "security.capability")
    assert host.read("/usr/share/owner") == "svc 4755\n"
    assert not host.exists("/usr/share/svc/ghost")
    root = host.boot(tmp_path)
    for path, *owner in (
        (host.path("/etc/svc.conf"), 0, gid, 0o640),
        (root / "var/lib/svc", uid, gid, 0o750),
        (root / "run/svc", 0, gid, 0o2775),
    ):
        made = path.stat()
        assert [made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)] == owner, path
    leftovers = {path.name for path in host.path("/usr/etc").iterdir() if path.name.endswith(("-", ".lock"))}
    assert leftovers == set()


def test_users_of_sysusers_d_come_before_pre(
    base_with_accounts: BaseTree, install_host: InstallHost, repository: Repository
) -> None:
    host = install_host(repository.repo_file())
    files: Files = {
        "/usr/lib/sysusers.d/daemon.conf": 'u svc 345 "A service"\ng extra 456\n',
        "/usr/share/svc": File("x\n", user="svc", group="extra"),
    }
    layered(host, repository, "svc", {"%pre": "id -u svc > /usr/share/pre"}, files)
    assert host.read("/usr/share/pre") == "345\n"
    assert "svc:x:345:345:A service:/:" in host.read("/usr/lib/passwd")
    assert "extra:x:456:" in host.read("/usr/lib/group").splitlines()
    info = host.stat("/usr/share/svc")
    assert (info.st_uid, info.st_gid) == (345, 456)


def test_sysusers_d_alone_is_enough(
    base_with_accounts: BaseTree, install_host: InstallHost, repository: Repository
) -> None:
    one, other = install_host(repository.repo_file()), install_host(repository.repo_file())
    repository.build("svc", files={"/usr/lib/sysusers.d/s.conf": "u svc -\n", "/usr/bin/svc": File("x\n", user="svc")})
    repository.publish()
    one.ok("pkg-add", "svc")
    other.ok("pkg-add", "svc")
    assert re.search(r"^svc:", one.read("/usr/lib/passwd"), re.MULTILINE)
    assert one.commit_of() == other.commit_of()


def test_a_user_that_nobody_makes_is_an_error(host: Host, repository: Repository) -> None:
    publish(repository, "orphan", {"%pre": ":"}, {"/usr/bin/orphan": File("x\n", mode=0o4755, user="nobody-made-me")})
    result = fails(host, "pkg-add", "orphan")
    assert "nobody-made-me" in result.stderr
    assert "orphan-1.0-1.noarch" in result.stderr


# Interpreters and flags


def test_any_program_of_the_tree_can_be_the_interpreter(host: Host, repository: Repository) -> None:
    files: Files = {"/usr/libexec/reader": '#!/bin/sh\necho "$@" > /usr/share/arguments\ncat "$2" > /usr/share/body\n'}
    layered(host, repository, "reader", {'%post -p "/usr/libexec/reader --flag"': "not a shell script"}, files)
    arguments = host.read("/usr/share/arguments").split()
    assert arguments[0] == "--flag"
    assert arguments[2:] == ["1"]
    assert host.read("/usr/share/body").strip() == "not a shell script"


def test_a_program_alone_gets_no_arguments(host: Host, repository: Repository) -> None:
    files: Files = {"/usr/libexec/alone": "#!/bin/sh\necho $# > /usr/share/count\n"}
    layered(host, repository, "alone", {"%post -p /usr/libexec/alone": ""}, files)
    assert host.read("/usr/share/count") == "0\n"


def test_an_interpreter_that_the_tree_lacks_is_named(host: Host, repository: Repository) -> None:
    # rpmbuild makes the interpreter a requirement: a package has to pretend that it has it.
    publish(repository, "exotic", {"%post -p /usr/bin/exotic-lang": "whatever"}, provides=["/usr/bin/exotic-lang"])
    result = fails(host, "pkg-add", "exotic")
    assert "/usr/bin/exotic-lang" in result.stderr
    assert "exotic-1.0-1.noarch: %post" in result.stderr


def test_expansion_takes_the_tree_s_macros_and_runs_inside(
    base: BaseTree, install_host: InstallHost, repository: Repository, tmp_path: Path
) -> None:
    macros = {"/usr/lib/rpm/macros": "%of_the_tree the-tree-says\n", "/usr/lib/rpm/rpmrc": ""}
    base.with_files(macros).commit(BRANCH, "2")
    trap = tmp_path / "trap"
    host = install_host(repository.repo_file())
    body = f"echo '%{{of_the_tree}} %(touch {trap} 2>/dev/null; cat {RULES}/one)' > /usr/share/expanded"
    layered(host, repository, "macro", {"%post -e": body})
    assert host.read("/usr/share/expanded") == "the-tree-says one\n"
    assert not trap.exists()


def test_a_script_can_be_a_query_format(host: Host, repository: Repository) -> None:
    layered(host, repository, "asker", {"%post -q": "echo %{NAME} %{VERSION} > /usr/share/asked"})
    assert host.read("/usr/share/asked") == "asker 1.0\n"


def test_lua_runs_in_librpm_s_interpreter_inside(host: Host, repository: Repository) -> None:
    body = """
local out = assert(io.open("/usr/share/lua", "w"))
out:write(arg[2], " ", rpm.expand("%{?nothing:x}expanded"), " ")
out:write(posix.access("/run/ostree-booted") and "inside" or "outside", "\\n")
out:close()
os.remove("/usr/share/rules/two")
"""
    layered(host, repository, "lunar", {"%post -p <lua>": body})
    assert host.read("/usr/share/lua") == "1 expanded inside\n"
    assert not host.exists(f"{RULES}/two")


def test_a_lua_file_trigger_gets_its_files(host: Host, repository: Repository) -> None:
    body = 'out = io.open("/usr/share/lua", "w")\nfor path in rpm.next_file do out:write(path, "\\n") end\nout:close()'
    layered(host, repository, "lunar", {"%transfiletriggerin -p <lua> -- /usr/share/base-tool": body})
    assert host.read("/usr/share/lua") == "/usr/share/base-tool/data\n"


def test_lua_that_fails_is_told_like_any_script(host: Host, repository: Repository) -> None:
    publish(repository, "lunar", {"%post -p <lua>": 'error("the moon is down")'})
    result = fails(host, "pkg-add", "lunar")
    assert "the moon is down" in result.stderr
    assert "lunar-1.0-1.noarch: %post" in result.stderr
