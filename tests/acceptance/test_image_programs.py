"""Programs of a real distribution, run by scripts that are written as Fedora's macros expand.

systemd's, shadow's, glibc's and others' are this machine's own, with their libraries, in a base whose shell is bash.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import fails
from tests.acceptance.conftest import InstallHost
from tests.acceptance.host import Host
from tests.acceptance.programs import BUSYBOX, with_libraries
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files, build_rpm, cache_directory

PROGRAMS = (
    *("systemctl", "systemd-tmpfiles", "systemd-sysusers", "systemd-hwdb", "journalctl", "udevadm"),
    *("getent", "ldconfig", "useradd", "groupadd", "usermod", "groupmod", "gpasswd", "userdel", "groupdel"),
    *("setcap", "setfattr", "glib-compile-schemas", "update-alternatives"),
)
APPLETS = ("cat", "chmod", "chown", "env", "id", "ln", "mkdir", "readlink", "rm", "stat", "test", "true")
UNIT = """[Service]
ExecStart=/usr/bin/true
[Install]
WantedBy=multi-user.target
"""
LOGIN_DEFS = """SYS_UID_MIN 201
SYS_UID_MAX 999
SYS_GID_MIN 201
SYS_GID_MAX 999
CREATE_HOME yes
USERGROUPS_ENAB yes
"""
LIBRARIES = "/usr/lib/x86_64-linux-gnu"


@cache
def program_packages() -> tuple[Path, Path]:
    """Bash, and all other programs in one package, with the file triggers that their own packages have."""
    directory = cache_directory() / "image-programs"
    bash = with_libraries("bash")
    shell: Files = {**bash, "/usr/bin/sh": File(symlink="bash")}
    files = {path: file for path, file in with_libraries(*PROGRAMS).items() if path not in bash}
    files["/usr/bin/busybox"] = File(BUSYBOX.read_bytes(), mode=0o755)
    files |= {f"/usr/bin/{name}": File(symlink="busybox") for name in APPLETS}
    triggers = {
        "%transfiletriggerin -P 2000000 -- /usr/lib /usr/lib64": "/sbin/ldconfig",
        "%transfiletriggerin -P 1000700 -- /usr/lib/sysusers.d": "systemd-sysusers",
        "%transfiletriggerin -P 1000500 -- /usr/lib/tmpfiles.d": "systemd-tmpfiles --create --prefix=/run",
        "%transfiletriggerin -P 900899 -- /usr/lib/systemd/system": "systemctl daemon-reload",
        "%transfiletriggerin -- /usr/lib/udev/hwdb.d": "systemd-hwdb update --usr",
        "%transfiletriggerin -- /usr/share/glib-2.0/schemas": "glib-compile-schemas /usr/share/glib-2.0/schemas",
    }
    return (
        build_rpm(directory, "bash", "5.2.26", "5", arch="x86_64", files=shell, provides=["/bin/sh"]),
        build_rpm(directory, "image-programs", arch="x86_64", files=files, scripts=triggers),
    )


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    """A base of an image's programs."""
    files: Files = {
        "/usr/lib64/ld-linux-x86-64.so.2": File(Path("/lib64/ld-linux-x86-64.so.2").read_bytes(), mode=0o755),
        "/usr/etc/ld.so.conf": f"{LIBRARIES}\n",
        "/usr/etc/login.defs": LOGIN_DEFS,
        "/usr/etc/nsswitch.conf": "passwd: files altfiles systemd\ngroup: files altfiles systemd\n",
        "/usr/etc/shadow": File("root:*:19000::::::\n", mode=0o000),
        "/usr/etc/gshadow": File("root:*::\n", mode=0o000),
        "/usr/lib/systemd/system-preset/90-default.preset": "enable wanted.service\ndisable *\n",
        "/usr/lib/systemd/system/multi-user.target": "[Unit]\nDescription=x\n",
        "/usr/lib/alternatives/README": "for alternatives(8), whose directory is /var/lib/alternatives\n",
    }
    tree = BaseTree(tmp_path / "remote").without_packages("bash").with_packages(program_packages()).with_files(files)
    tree.commit(BRANCH, "1")
    return tree


@pytest.fixture
def host(install_host: InstallHost, repository: Repository) -> Host:
    return install_host(repository.repo_file())


def layered(
    host: Host, repository: Repository, name: str, scripts: dict[str, str], files: Files, *, arch: str = "noarch"
) -> None:
    """Layer a package whose scripts stop at the first command that fails."""
    stopping = {section: f"set -e\n{body}" for section, body in scripts.items()}
    repository.build(name, files=files, scripts=stopping, arch=arch)
    repository.publish()
    host.ok("pkg-add", name)


def test_systemctl_edits_links_and_reaches_for_no_manager(host: Host, repository: Repository) -> None:
    post = """
systemctl --no-reload preset wanted.service unwanted.service
systemctl --no-reload preset --global wanted.service
systemctl enable asked-for.service
systemctl enable unwanted.service && systemctl disable unwanted.service
systemctl mask masked.service
for verb in daemon-reload daemon-reexec; do systemctl $verb; systemctl --user $verb; done
for verb in start stop restart try-restart condrestart reload-or-restart reload kill is-active status show; do
    systemctl $verb wanted.service
done
test "$(systemctl is-enabled wanted.service)" = enabled
test "$(systemctl is-enabled masked.service || :)" = masked
"""
    names = ("wanted", "unwanted", "asked-for", "masked")
    files = {f"/usr/lib/systemd/system/{name}.service": UNIT for name in names}
    layered(host, repository, "units", {"%post": post}, {**files, "/usr/lib/systemd/user/wanted.service": UNIT})
    wants = "/etc/systemd/system/multi-user.target.wants"
    assert sorted(path.name for path in host.path(wants).iterdir()) == ["asked-for.service", "wanted.service"]
    assert host.path(f"{wants}/wanted.service").readlink().name == "wanted.service"
    assert host.path("/etc/systemd/system/masked.service").readlink() == Path("/dev/null")
    assert host.exists("/etc/systemd/user/multi-user.target.wants/wanted.service")
    assert host.exists(f"/usr{wants}/wanted.service")


def test_systemctl_now_edits_links_and_starts_nothing(host: Host, repository: Repository) -> None:
    """Regression: a %post that enables its unit with --now failed when the links were made; also by other names."""
    post = """
systemctl enable --now enabled.service
/usr/bin/systemctl --now --quiet reenable "wanted.service"
systemctl mask --now masked.service
systemctl enable disabled.service && systemctl disable --now disabled.service
systemctl preset --now unwanted.service
systemctl --global enable --now wanted.service
systemctl is-system-running && exit 8
! systemctl enable --now no-such.service
"""
    names = ("enabled", "disabled", "masked", "wanted", "unwanted", "by-librpm")
    files: Files = {f"/usr/lib/systemd/system/{name}.service": UNIT for name in names}
    files["/usr/lib/systemd/user/wanted.service"] = UNIT
    scripts = {"%post": post, "%posttrans -e": "systemctl enable --now by-librpm.service"}
    layered(host, repository, "units", scripts, files)
    wants = "/etc/systemd/system/multi-user.target.wants"
    enabled = ["by-librpm.service", "enabled.service", "wanted.service"]
    assert sorted(path.name for path in host.path(wants).iterdir()) == enabled
    assert host.path("/etc/systemd/system/masked.service").readlink() == Path("/dev/null")
    assert host.exists("/etc/systemd/user/multi-user.target.wants/wanted.service")
    assert host.path("/usr/bin/systemctl").read_bytes() == with_libraries("systemctl")["/usr/bin/systemctl"].content


def test_users_and_groups_of_pre_are_those_of_an_image(host: Host, repository: Repository) -> None:
    pre = """
getent group svc >/dev/null || groupadd -f -g 845 -r svc
getent passwd svc >/dev/null || useradd -r -u 845 -g svc -d /var/lib/svc -s /sbin/nologin -c 'A service' svc
getent group helpers >/dev/null || groupadd -r helpers
usermod -a -G games svc
gpasswd -a svc helpers
groupmod -n assistants helpers
groupadd -r passing && useradd -r -g passing -M passing && userdel passing && ! getent group passing
test "$(id -u svc)" = 845
"""
    files: Files = {"/usr/share/svc": File("x\n", user="svc", group="assistants", mode=0o640)}
    layered(
        host, repository, "svc", {"%pre": pre, "%post": "test $(stat -c %U:%G /usr/share/svc) = svc:assistants"}, files
    )
    group = host.read("/usr/lib/group")
    assert "svc:x:845:845:A service:/var/lib/svc:/sbin/nologin" in host.read("/usr/lib/passwd").splitlines()
    assert "svc:x:845:" in group.splitlines()
    assert "games:x:12:svc" in group.splitlines()
    (number,) = re.findall(r"^assistants:x:(\d+):svc$", group, re.MULTILINE)
    info = host.stat("/usr/share/svc")
    assert (info.st_uid, info.st_gid) == (845, int(number))
    assert "passing" not in host.read("/usr/lib/passwd") + group
    assert "svc" not in host.read("/usr/etc/passwd") + host.read("/usr/etc/group")


def test_a_home_below_var_is_made_at_boot(host: Host, repository: Repository, tmp_path: Path) -> None:
    """Regression: useradd -m failed, because /var was read-only."""
    pre = """
useradd -r -m -d /var/lib/svc -s /sbin/nologin svc
mkdir -p /etc/skel && echo x > /etc/skel/.profile
useradd -m person
"""
    repository.build("svc", files={"/usr/share/svc": "x\n"}, scripts={"%pre": f"set -e\n{pre}"})
    repository.publish()
    said = host.ok("pkg-add", "svc")
    assert "/var/home/person/.profile is left out" in said.stdout + said.stderr
    booted = host.boot(tmp_path)
    passwd = {line.split(":")[0]: line.split(":") for line in host.read("/usr/lib/passwd").splitlines()}
    for user, home in (("svc", "var/lib/svc"), ("person", "var/home/person")):
        info = (booted / home).stat()
        assert [str(info.st_uid), str(info.st_gid)] == passwd[user][2:4]
        assert info.st_mode & 0o777 in (0o700, 0o755)
    assert not (host.sysroot / "ostree/deploy" / host.stateroot / "var/lib/svc").exists()


def test_file_triggers_of_the_base_keep_its_caches(host: Host, repository: Repository) -> None:
    key = '<key name="k" type="b"><default>true</default></key>'
    schema = f'<schemalist><schema id="a.b" path="/a/">{key}</schema></schemalist>'
    (library,) = (path for path in with_libraries("rpm") if "/librpm.so" in path)
    files: Files = {
        library: with_libraries("rpm")[library],
        "/usr/lib/sysusers.d/new.conf": "u new 746\n",
        "/usr/lib/tmpfiles.d/new.conf": "d /run/new 0755 new root -\n",
        "/usr/lib/systemd/system/new.service": UNIT,
        "/usr/lib/udev/hwdb.d/new.hwdb": "usb:vABCD*\n ID_VENDOR=New\n",
        "/usr/share/glib-2.0/schemas/a.gschema.xml": schema,
    }
    layered(host, repository, "new", {}, files, arch="x86_64")
    name = Path(library).name.encode()
    assert name in host.path("/etc/ld.so.cache").read_bytes()
    assert name not in host.path("/etc/ld.so.cache", 1).read_bytes()
    assert b"ID_VENDOR" in host.path("/usr/lib/udev/hwdb.bin").read_bytes()
    assert host.exists("/usr/share/glib-2.0/schemas/gschemas.compiled")
    assert "new:x:746:746::/:/usr/sbin/nologin" in host.read("/usr/lib/passwd").splitlines()


def test_what_an_image_build_has_no_daemon_for_fails_alone(host: Host, repository: Repository) -> None:
    post = """
/usr/bin/udevadm control --reload >/dev/null 2>&1 || :
udevadm trigger && udevadm settle
systemd-tmpfiles --create tool.conf || :
journalctl --update-catalog >/dev/null 2>&1 || :
[ -d /run/systemd/system ] && exit 9
ldconfig -X
"""
    files: Files = {"/usr/lib/tmpfiles.d/tool.conf": "d /run/tool 0755\nd /var/lib/tool 0755\n"}
    layered(host, repository, "tool", {"%post": post}, files)
    assert not (host.deployment() / "var/lib/tool").exists()
    assert not host.exists("/usr/lib/tmpfiles.d/layer-scripts.conf")


def test_alternatives_are_kept_where_the_image_keeps_them(host: Host, repository: Repository) -> None:
    command = "update-alternatives --admindir /var/lib/alternatives --log /dev/null --install /usr/bin/ed ed"
    layered(host, repository, "ed", {"%post": f"{command} /usr/bin/red 30"}, {"/usr/bin/red": "#!/bin/sh\n"})
    assert host.path("/usr/bin/ed").readlink() == Path("/etc/alternatives/ed")
    assert host.path("/etc/alternatives/ed").readlink() == Path("/usr/bin/red")
    assert "/usr/bin/red" in host.read("/usr/lib/alternatives/ed")


def test_capabilities_and_attributes_that_scripts_set_are_in_the_layer(host: Host, repository: Repository) -> None:
    post = """
setcap cap_net_raw,cap_net_admin=ep /usr/bin/ping
setfattr -n user.note -v kept /usr/share/noted
chown games:games /usr/bin/ping && chmod 2755 /usr/bin/player
setcap cap_net_raw=ep /usr/bin/ping
"""
    files: Files = {"/usr/bin/ping": "ping\n", "/usr/share/noted": "x\n", "/usr/bin/player": "p\n"}
    layered(host, repository, "ping", {"%post": post}, files)
    assert os.getxattr(host.path("/usr/bin/ping"), "security.capability")[4:8] == (1 << 13).to_bytes(4, "little")
    assert host.stat("/usr/bin/ping").st_uid == 12
    assert os.getxattr(host.path("/usr/share/noted"), "user.note") == b"kept"
    assert host.stat("/usr/bin/player").st_mode & 0o7777 == 0o2755


def test_the_kernel_s_own_settings_are_read_only(host: Host, repository: Repository) -> None:
    setting = Path("/proc/sys/vm/swappiness")
    before = setting.read_text()
    other = "61" if before.strip() == "60" else "60"
    try:
        repository.build("tuner", scripts={"%post": f"echo {other} > {setting}"})
        repository.publish()
        result = fails(host, "pkg-add", "tuner")
        assert setting.read_text() == before
    finally:
        setting.write_text(before)
    assert "Read-only file system" in result.stderr
