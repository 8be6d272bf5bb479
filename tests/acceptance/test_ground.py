"""The ground that acceptance tests stand on is itself what it says."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import rpm

from tests.acceptance import rpms
from tests.acceptance.bases import BRANCH, RPMDB, BaseTree
from tests.acceptance.conftest import CopyHost, InstallHost
from tests.acceptance.host import Host
from tests.acceptance.repositories import HttpServer, Repository
from tests.acceptance.rpms import File, Files, SigningKey, build_rpm, header

AWKWARD = '/opt/an app/it\'s "quoted" 100% [sure]'


def query(package: Path, *options: str) -> list[str]:
    command = ["rpm", "-qp", "--nosignature", *options, str(package)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_package_has_the_modes_owners_and_capabilities_asked_for(tmp_path: Path) -> None:
    files: Files = {
        "/usr/bin/tool": File("#!/bin/sh\n", mode=0o4755, user="adm", group="games"),
        "/usr/bin/ping": File("ping\n", caps="cap_net_raw=ep"),
        "/var/lib/tool": File(directory=True, mode=0o2770, group="adm"),
        "/lib64/libtool.so": File(symlink="libtool.so.1"),
        AWKWARD: "content\n",
    }
    package = build_rpm(tmp_path, "tool", files=files)
    listed = query(package, "--qf", r"[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]")
    assert sorted(listed) == sorted(
        [
            f"-rw-r--r-- root root {AWKWARD}",
            "lrwxrwxrwx root root /lib64/libtool.so",
            "-rwxr-xr-x root root /usr/bin/ping",
            "-rwsr-xr-x adm games /usr/bin/tool",
            "drwxrws--- root adm /var/lib/tool",
        ]
    )
    assert "/usr/bin/ping\tcap_net_raw=ep" in query(package, "--filecaps")


def test_hardlinks_share_an_inode_and_the_payload_is_on_the_last(tmp_path: Path) -> None:
    files: Files = {
        "/usr/bin/one": File("linked content\n"),
        "/usr/bin/two": File(hardlink_to="/usr/bin/one"),
        "/usr/bin/zoo": "alone\n",
    }
    package = build_rpm(tmp_path, "linked", files=files)
    one, two, zoo = header(package)[rpm.RPMTAG_FILEINODES]
    assert one == two != zoo
    payload = subprocess.run(["rpm2cpio", package], check=True, capture_output=True).stdout
    assert payload.count(b"linked content\n") == 1
    assert payload.index(b"/usr/bin/one") < payload.index(b"/usr/bin/two") < payload.index(b"linked content\n")


def test_a_package_has_the_relations_and_scripts_asked_for_and_no_others(tmp_path: Path) -> None:
    package = build_rpm(
        tmp_path,
        "tool",
        "2.5",
        "3.fc40",
        epoch=2,
        arch="x86_64",
        requires=["lib >= 1"],
        provides=["virtual(tool) = 1"],
        conflicts=["rival"],
        obsoletes=["older < 2"],
        recommends=["docs"],
        scripts={"%post": "echo 100%"},
    )
    assert query(package) == ["tool-2.5-3.fc40.x86_64"]
    assert rpms.nevra(package) == "tool-2:2.5-3.fc40.x86_64"
    own = [line for line in query(package, "--requires") if not line.startswith("rpmlib(")]
    assert own == ["/bin/sh", "lib >= 1"]
    assert "virtual(tool) = 1" in query(package, "--provides")
    assert query(package, "--conflicts") == ["rival"]
    assert query(package, "--obsoletes") == ["older < 2"]
    assert query(package, "--recommends") == ["docs"]
    assert "echo 100%" in query(package, "--scripts")
    assert query(package, "--list") == ["(contains no files)"]


def test_the_same_arguments_give_the_same_bytes_also_without_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: Files = {"/usr/bin/tool": "#!/bin/sh\n", "/etc/tool.conf": File("a=1\n", config=True)}
    first = build_rpm(tmp_path / "first", "tool", files=files)
    monkeypatch.setenv(rpms.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert build_rpm(tmp_path / "second", "tool", files=files).read_bytes() == first.read_bytes()


def test_a_package_is_built_in_less_than_a_third_of_a_second(tmp_path: Path) -> None:
    started = time.perf_counter()
    build_rpm(tmp_path, "quick", files={"/usr/share/quick": tmp_path.name})
    assert time.perf_counter() - started < 0.33


def test_a_signed_package_is_good_by_its_own_key_and_by_no_other(tmp_path: Path, signing_key: SigningKey) -> None:
    package = build_rpm(tmp_path, "signed")
    signing_key.sign(package)
    keyring = ["--dbpath", str(tmp_path / "keys")]
    check = ["rpmkeys", *keyring, "--define", "_pkgverify_level signature", "-K", str(package)]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1
    key = signing_key.export(tmp_path / "key.asc")
    subprocess.run(["rpmkeys", *keyring, "--import", str(key)], check=True)
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_a_repository_serves_what_was_published_and_counts_and_fails_on_demand(
    repository: Repository, web: HttpServer
) -> None:
    def fetch(path: str) -> int:
        with urllib.request.urlopen(f"{web.url}/{path}") as answer:  # noqa: S310 - our own server
            return len(answer.read())

    assert fetch("foo-1.0-1.noarch.rpm") == (repository.directory / "foo-1.0-1.noarch.rpm").stat().st_size
    assert fetch("repodata/repomd.xml")
    assert (web.count("*.rpm"), web.count()) == (1, 2)
    web.fail("*.rpm")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        fetch("foo-1.0-1.noarch.rpm")
    web.heal()
    assert fetch("foo-1.0-1.noarch.rpm")


def test_removing_a_package_takes_its_versions_only(repository: Repository) -> None:
    repository.build("foo", "2.0")
    repository.remove("foo")
    names = [package.name for package in repository.packages()]
    assert "foo-libs-1.0-1.x86_64.rpm" in names
    assert not [name for name in names if name.startswith(("foo-1", "foo-2"))]


def test_a_base_has_one_rpmdb_file_that_librpm_reads_and_a_release(base: BaseTree) -> None:
    tree = base.compose()
    assert [path.name for path in (tree / RPMDB).iterdir()] == ["rpmdb.sqlite"]
    command = ["rpm", "--dbpath", str(tree / RPMDB), "-q", "--whatprovides", "system-release(releasever)"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert found == "fedora-release-40-1.noarch\n"
    assert [path.name for path in (tree / RPMDB).iterdir()] == ["rpmdb.sqlite"]
    assert (tree / "bin").readlink() == Path("usr/bin")
    assert (tree / "usr/local").readlink() == Path("../var/usrlocal")
    assert list((tree / "var").iterdir()) == []


def test_the_same_base_gives_the_same_commit_and_another_gives_a_newer_one(tmp_path: Path, base: BaseTree) -> None:
    again = BaseTree(tmp_path / "again")
    first = again.commit(BRANCH, "1")
    assert first == (base.repo / "refs/heads" / BRANCH).read_text().strip()
    package = build_rpm(tmp_path, "more", files={"/usr/bin/more": "#!/bin/sh\n"})
    assert again.with_packages([package]).commit(BRANCH, "2") != first


def test_a_host_is_deployed_on_the_base_and_sound(host: Host, base: BaseTree) -> None:
    assert host.commit_of(0) == (base.repo / "refs/heads" / BRANCH).read_text().strip()
    assert host.origin(0) == "[origin]\nrefspec=test:os/stable\n"
    assert host.rpm_names() == ["base-tool", "bash", "fedora-release", "filesystem"]
    assert host.read("/bin/base-tool") == "#!/bin/sh\n"
    assert host.read("/etc/yum.repos.d/test.repo").startswith("[test]\n")
    assert not host.exists("/usr/bin/foo")
    assert not host.journal.exists()
    host.fsck()


def test_a_snapshot_sees_a_changed_file_and_a_new_deployment(host: Host) -> None:
    before = host.snapshot_tree()
    assert host.snapshot_tree() == before
    host.write("/etc/motd", "hello\n")
    changed = host.snapshot_tree()
    assert [key for key in changed if key not in before] == [f"{_deploy(host)}/{host.deployments()[0]}/etc/motd"]
    host.admin("deploy", f"--os={host.stateroot}", "test:os/stable")
    assert len(host.deployments()) == 2
    assert host.snapshot_tree()["deployments"] != before["deployments"]


def test_a_copied_host_is_sound_and_goes_its_own_way(host: Host, copy_host: CopyHost) -> None:
    other = copy_host(host)
    assert other.snapshot_tree() == host.snapshot_tree()
    other.admin("deploy", f"--os={other.stateroot}", "test:os/stable")
    other.write("/etc/motd", "hello\n")
    assert len(host.deployments()) == 1
    assert not host.exists("/etc/motd")


def test_a_booted_copy_has_what_tmpfiles_asks_for(base: BaseTree, install_host: InstallHost, tmp_path: Path) -> None:
    text = 'L "/opt/an app" - - - - ../../usr/lib/opt/app\nd /var/lib/app 2770 root adm - -\n'
    base.with_files({"/usr/lib/tmpfiles.d/app.conf": text}).commit()
    root = install_host().boot(tmp_path)
    assert (root / "var/opt/an app").readlink() == Path("../../usr/lib/opt/app")
    assert (root / "var/lib/app").stat().st_gid == 3
    assert (root / "var/lib/app").stat().st_mode & 0o7777 == 0o2770


def test_a_lock_is_held_by_another_process_until_the_end(host: Host) -> None:
    lock = host.sysroot / "ostree/lock"
    command = ["flock", "--nonblock", str(lock), "true"]
    with host.locked() as pid:
        held = (Path("/proc") / str(pid) / "fdinfo").iterdir()
        assert any("OFDLCK" in entry.read_text() for entry in held)
    assert subprocess.run(command, check=False).returncode == 0


def test_an_unsound_object_is_noticed(host: Host) -> None:
    content = next(path for path in host.repo.glob("objects/*/*.file") if not path.is_symlink())
    original = content.read_bytes()
    content.write_bytes(b"something else")
    with pytest.raises(AssertionError, match="ostree fsck"):
        host.fsck()
    content.write_bytes(original)


def _deploy(host: Host) -> str:
    return f"ostree/deploy/{host.stateroot}/deploy"
