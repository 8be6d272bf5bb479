"""/var while scripts run: a scratch one, never the host's; what they make there is treated as what packages bring."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.conftest import CopyHost
from tests.acceptance.host import Host
from tests.acceptance.programs import with_shell
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import File, Files

FRAGMENT = "/usr/lib/tmpfiles.d/layer-scripts.conf"


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    tree = with_shell(BaseTree(tmp_path / "remote")).with_files(
        {"/usr/lib/tmpfiles.d/base.conf": "d /var/lib/base 0711 games games -\nL /var/lib/alias - - - - base\n"}
    )
    tree.commit(BRANCH, "1")
    return tree


def layered(host: Host, repository: Repository, scripts: dict[str, str], files: Files | None = None) -> str:
    """Layer a package `svc` whose scripts stop at the first command that fails; returns what the command said."""
    stopping = {section: f"set -e\n{body}" for section, body in scripts.items()}
    repository.build("svc", files=files or {"/usr/share/svc": "svc\n"}, scripts=stopping)
    repository.publish()
    result = host.ok("pkg-add", "svc")
    return result.stdout + result.stderr


def of_the_host(host: Host) -> list[str]:
    """All that is in the stateroot's own /var, but for what is layer's."""
    var = host.sysroot / "ostree/deploy" / host.stateroot / "var"
    found = (Path(directory, name) for directory, names, files in os.walk(var) for name in (*names, *files))
    return sorted(str(path) for path in found if "layer" not in path.relative_to(var).parts)


def test_directories_and_links_are_made_at_boot_and_files_left_out_with_a_note(
    host: Host, repository: Repository, copy_host: CopyHost, tmp_path: Path
) -> None:
    """Regression: /var was read-only, and packages whose scripts keep anything there could not be layered."""
    host.ok("refresh-md")  # from now on there is all that layer itself keeps
    other = copy_host(host)
    before = of_the_host(host)
    scripts = {
        "%pre": "mkdir -m 2750 /var/lib/svc; chown games:games /var/lib/svc; echo 1 > /var/lib/svc/state",
        "%post": 'test "$(cat /var/lib/svc/state)" = 1; echo x > "/var/log/a b"; ln -s svc /var/lib/old-svc',
        "%posttrans": "mkdir -p /srv/svc /home/svc /var/cache/svc; echo x > /var/cache/svc/file; rm '/var/log/a b'",
    }
    said = layered(host, repository, scripts)
    [note] = [line for line in said.splitlines() if "left out" in line]
    assert "svc-1.0-1.noarch: %pre: /var/lib/svc/state is left out" in note
    assert of_the_host(host) == before
    assert not list((host.repo / "extensions/layer").glob("run-*"))
    booted = host.boot(tmp_path)
    info = (booted / "var/lib/svc").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o2750, 12, 12)
    assert (booted / "var/lib/old-svc").readlink() == Path("svc")
    assert all((booted / f"var/{name}").is_dir() for name in ("srv/svc", "home/svc", "cache/svc"))
    assert not any((booted / f"var/{name}").exists() for name in ("lib/svc/state", "log/a b", "cache/svc/file"))
    umask = os.umask(0o077)
    try:
        other.ok("pkg-add", "svc")
    finally:
        os.umask(umask)
    assert other.commit_of() == host.commit_of()


def test_it_has_the_package_s_own_directories_and_is_new_for_each_layer(host: Host, repository: Repository) -> None:
    post = """
test "$(stat -c '%a %U %G' /var/lib/svc)" = '750 games root'
test ! -e /var/lib/earlier && test ! -e /var/lib/layer
mkdir /var/lib/earlier
"""
    files: Files = {"/usr/share/svc": "svc\n", "/var/lib/svc": File(directory=True, mode=0o750, user="games")}
    layered(host, repository, {"%post": post}, files)
    repository.build("other", scripts={"%post": "test ! -e /var/lib/earlier/x && echo x > /var/lib/earlier/x"})
    repository.publish()
    host.run("pkg-delete", "svc", "--install", "other", check=1)
    assert host.read(FRAGMENT) == "d /var/lib/earlier 0755 root root - -\n"


def test_what_a_fragment_speaks_of_is_left_to_that(host: Host, repository: Repository) -> None:
    layered(host, repository, {"%post": "mkdir /var/lib/base /var/lib/base/mine; ln -s x /var/lib/alias"})
    assert host.read(FRAGMENT) == "d /var/lib/base/mine 0755 root root - -\n"


def test_nothing_is_added_where_scripts_leave_it_as_it_was(host: Host, repository: Repository) -> None:
    said = layered(
        host, repository, {"%post": "touch /var/lib; mkdir /var/lib/x; rmdir /var/lib/x; echo x > /var/tmp/x"}
    )
    assert not host.exists(FRAGMENT)
    assert "left out" not in said


def test_another_owner_that_a_script_gives_a_package_s_directory_counts(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    files: Files = {"/usr/share/svc": "svc\n", "/var/lib/svc": File(directory=True, mode=0o750)}
    layered(host, repository, {"%post": "chown games /var/lib/svc; touch /var/lib/svc/x"}, files)
    info = (host.boot(tmp_path) / "var/lib/svc").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o750, 12, 0)


def test_links_of_a_script_lead_nowhere_out(host: Host, repository: Repository, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    pre = f"rm -rf /var/lib/svc /var/log; ln -s {victim} /var/lib/svc; ln -s {victim} /var/log"
    files: Files = {
        "/usr/share/svc": "svc\n",
        "/var/lib/svc/data": File(directory=True, user="games"),
        "/var/log/svc": File(directory=True),
    }
    layered(host, repository, {"%pre": pre, "%post": "true"}, files)
    assert list(victim.iterdir()) == []
    assert f"L /var/lib/svc - - - - {victim}\n" in host.read(FRAGMENT)


def test_names_that_tmpfiles_d_can_t_say_are_left_out_and_others_quoted(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    post = """
mkdir "$(printf '/var/lib/\\377')" '/var/lib/it is "100% \\x20"'
ln -s "$(printf '\\376')" /var/lib/link
mkfifo /var/lib/fifo
for i in 1 2 3 4; do echo x > /var/lib/file$i; done
"""
    said = layered(host, repository, {"%post": post})
    [note] = [line for line in said.splitlines() if "left out" in line]
    assert "%post: /var/lib/fifo, /var/lib/file1, /var/lib/file2 and 4 more are left out" in note
    assert sorted(path.name for path in (host.boot(tmp_path) / "var/lib").glob("*it is*")) == ['it is "100% \\x20"']


def test_usr_local_stays_the_administrator_s(host: Host, repository: Repository, base: BaseTree) -> None:
    said = layered(
        host, repository, {"%post": "mkdir -p /var/usrlocal/bin; ln -s /usr/share/svc /var/usrlocal/bin/svc"}
    )
    assert "/var/usrlocal/bin/svc" in next(line for line in said.splitlines() if "left out" in line)
    assert "usrlocal/bin" not in (host.read(FRAGMENT) if host.exists(FRAGMENT) else "")
