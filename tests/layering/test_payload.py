"""From an RPM's payload into objects of a repository."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest
import rpm

from journal.values import Package
from layering.cached_package import CachedPackage
from layering.capabilities import capability_attribute
from layering.errors import ImportRefused
from layering.payload import Owner, import_payload
from layering.rpmfile import header_of, nevra_of, read_rpm
from layering.scripts import carried
from tests.acceptance.rpms import File, Files, build_rpm, corrupt
from tests.layering.bases import Found, Gio, Ground, OSTree, find

BIG = os.urandom(3 << 20)  # more than is written at once


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def laid(package: CachedPackage, path: str) -> Found:
    found = find(package.repo, package.commit, path)
    assert found is not None, path
    return found


def everything(package: CachedPackage) -> list[str]:
    command = ["ostree", "ls", "-R", "--nul-filenames-only", f"--repo={package.repo.get_path().get_path()}"]
    done = subprocess.run([*command, package.commit], capture_output=True, text=True, check=True)
    return sorted(path for path in done.stdout.split("\0") if path not in {"", "/"})


def test_modes_links_and_directories_are_exact(ground: Ground) -> None:
    files: Files = {
        "/usr/bin/foo": File("x\n", mode=0o4711),
        "/usr/bin/bar": File(symlink="../../usr/share/foo/a b"),
        "/usr/share/foo": File(directory=True, mode=0o1750),
        "/usr/share/foo/a b": File("data", mode=0o400),
        "/etc/foo.conf": File("a=1\n", config=True),
    }
    package = ground.package("foo", files)
    assert laid(package, "usr/bin/foo") == Found(Gio.FileType.REGULAR, 0o4711, 0, 0, b"x\n")
    assert laid(package, "usr/bin/bar").target == "../../usr/share/foo/a b"
    assert laid(package, "usr/share/foo") == Found(Gio.FileType.DIRECTORY, 0o1750, 0, 0)
    assert laid(package, "usr/share/foo/a b") == Found(Gio.FileType.REGULAR, 0o400, 0, 0, b"data")
    assert laid(package, "usr/etc/foo.conf").data == b"a=1\n"
    assert package.attributes.implied == ("usr", "usr/bin", "usr/etc", "usr/share")
    assert package.attributes.links == ("usr/bin/bar",)


@pytest.mark.parametrize("payload", ["w.ufdio", "w9.gzdio", "w9.bzdio", "w6.xzdio", "w6.lzdio", "w3.zstdio"])
def test_every_compression_is_read(ground: Ground, payload: str) -> None:
    files: Files = {"/usr/share/small": "small\n", "/usr/share/big": File(BIG), "/usr/share/empty": ""}
    path = build_rpm(ground.directory, "foo", files=files, payload=payload)
    package = ground.imported(path)
    assert [laid(package, f"usr/share/{name}").data for name in ("small", "big", "empty")] == [b"small\n", BIG, b""]


@pytest.mark.parametrize("content", ["", "payload\n", BIG])
def test_hardlinked_files_have_the_content_that_is_on_the_last_of_them(ground: Ground, content: str | bytes) -> None:
    files: Files = {
        "/usr/bin/a": File(content, mode=0o4755),
        "/usr/bin/other": "other\n",
        "/usr/bin/z": File(hardlink_to="/usr/bin/a"),
        "/usr/share/last": File(hardlink_to="/usr/bin/a"),
        "/usr/share/x": "",
    }
    package = ground.package("linked", files)
    expected = Found(Gio.FileType.REGULAR, 0o4755, 0, 0, File(content).data)
    assert [laid(package, path) for path in ("usr/bin/a", "usr/bin/z", "usr/share/last")] == [expected] * 3
    assert laid(package, "usr/bin/other").data == b"other\n"


def test_a_hardlink_into_the_image_of_a_file_that_is_left_out_has_its_content(ground: Ground) -> None:
    package = ground.package("split", {"/usr/bin/a": "content\n", "/var/lib/z": File(hardlink_to="/usr/bin/a")})
    assert laid(package, "usr/bin/a").data == b"content\n"
    assert package.notes == ("/var/lib/z is left out: it is not part of an OSTree image",)


def test_what_is_not_roots_is_remembered_and_cached_without_its_special_bits(ground: Ground) -> None:
    files: Files = {
        "/usr/bin/game": File("x\n", mode=0o6755, user="games", group="adm"),
        "/usr/share/games": File(directory=True, mode=0o2775, group="games"),
        "/usr/bin/root": File("x\n", mode=0o6755),
    }
    package = ground.package("game", files)
    assert package.attributes.owners == (
        Owner("usr/bin/game", "games", "adm", 0o6755),
        Owner("usr/share/games", "root", "games", 0o2775),
    )
    assert laid(package, "usr/bin/game").mode == 0o755
    assert laid(package, "usr/share/games").mode == 0o775
    assert laid(package, "usr/bin/root").mode == 0o6755


def test_file_capabilities_become_the_attribute_that_setcap_writes(ground: Ground) -> None:
    package = ground.package("ping", {"/usr/bin/ping": File("x", caps="cap_net_raw,cap_net_admin=ep")})
    with (ground.directory / "same").open("w") as file:
        subprocess.run(["setcap", "cap_net_raw,cap_net_admin=ep", file.name], check=True)
        expected = os.getxattr(file.name, "security.capability")
    assert laid(package, "usr/bin/ping").attributes == ((b"security.capability\0", expected),)


@pytest.mark.parametrize("text", ["cap_nonsense=ep", "nonsense", "cap_net_raw=e cap_net_admin=p"])
def test_capabilities_that_no_file_can_have_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        capability_attribute(text)


def test_ghosts_are_not_written(ground: Ground) -> None:
    files: Files = {
        "/usr/bin/foo": "x\n",
        "/usr/share/ghost": File(ghost=True),
        "/usr/share/ghosts": File(directory=True, ghost=True),
    }
    assert everything(ground.package("haunted", files)) == ["/usr", "/usr/bin", "/usr/bin/foo"]


def test_a_package_without_files_is_an_empty_tree(ground: Ground) -> None:
    assert everything(ground.package("nothing", {})) == []


def test_a_device_is_refused_by_name(ground: Ground) -> None:
    with pytest.raises(ImportRefused, match=r"device-1.0-1.noarch: /usr/share/null is a device"):
        ground.package("device", {"/usr/share/null": File(device="c,1,3")})


def test_paths_outside_become_lines_and_the_packages_own_lines_are_not_repeated(ground: Ground) -> None:
    files: Files = {
        "/var/lib/foo": File(directory=True, mode=0o750, user="games"),
        "/var/lib/own": File(directory=True),
        "/run/foo link": File(symlink="/var/lib/foo"),
        "/opt/foo/bin/x": "x\n",
        "/opt/foo/y": "y\n",
        "/usr/lib/tmpfiles.d/foo.conf": 'd "/var/lib/own" 0700 games games -\n',
    }
    assert ground.package("foo", files).attributes.tmpfiles == (
        "L /opt/foo - - - - ../../usr/lib/opt/foo",
        'L "/run/foo link" - - - - /var/lib/foo',
        "d /var/lib/foo 0750 games root - -",
    )


def test_a_name_that_is_not_utf8_is_refused_and_shown(ground: Ground) -> None:
    path = build_rpm(ground.directory, "latin", files={"/usr/share/cafe": "x\n"}, payload="w.ufdio")
    package = read_rpm(path)
    path.write_bytes(path.read_bytes().replace(b"cafe\0", b"caf\xe9\0"))
    with pytest.raises(ImportRefused, match=f"{path} is not a readable RPM"):
        read_rpm(path)  # its digests do not fit: past that check with the header as it would have been built
    header = header_of(package.prefix.replace(b"cafe\0", b"caf\xe9\0"))
    with pytest.raises(ImportRefused, match=re.escape(repr(b"/usr/share/caf\xe9"))):
        import_payload(started(ground), dataclasses.replace(package, header=header))


def started(ground: Ground) -> OSTree.Repo:
    ground.repo.prepare_transaction()
    return ground.repo


def test_a_damaged_payload_is_refused_by_file(ground: Ground) -> None:
    path = build_rpm(ground.directory, "foo", files={"/usr/share/foo": File(os.urandom(5000))})
    corrupt(path)
    with pytest.raises(ImportRefused, match=f"{path} is damaged: its payload's sha256"):
        ground.imported(path)


@pytest.mark.parametrize("size", [0, 50, 200, 2000])
def test_a_truncated_package_is_refused_by_file(ground: Ground, size: int) -> None:
    path = build_rpm(ground.directory, "foo", files={"/usr/share/foo": "x" * 100})
    os.truncate(path, size)
    with pytest.raises(ImportRefused, match=re.escape(str(path))):
        ground.cache.import_rpm(path, Package("foo-1.0-1.noarch"))


def test_content_that_changes_after_it_was_checked_is_refused_by_file_and_package(ground: Ground) -> None:
    path = build_rpm(ground.directory, "foo", files={"/usr/share/foo": "the content\n"}, payload="w.ufdio")
    package = read_rpm(path)
    path.write_bytes(path.read_bytes().replace(b"the content\n", b"THE CONTENT\n"))
    with pytest.raises(ImportRefused, match=r"foo-1.0-1.noarch: the content of /usr/share/foo .* sha256"):
        import_payload(started(ground), package)
    os.truncate(path, len(package.prefix) + 120)
    with pytest.raises(ImportRefused, match=r"foo-1.0-1.noarch"):
        import_payload(ground.repo, package)


def test_an_import_is_the_same_commit_anywhere_and_at_any_time(tmp_path: Path) -> None:
    files: Files = {"/usr/bin/foo": "x\n", "/var/lib/foo": File(directory=True, user="games")}
    one, other = Ground(tmp_path / "one").package("foo", files), Ground(tmp_path / "other").package("foo", files)
    assert one.commit == other.commit
    assert one.build_time == one.header[rpm.RPMTAG_BUILDTIME]


@pytest.mark.parametrize(
    "section",
    [
        "%pre",
        "%post",
        "%posttrans",
        "%post -p /sbin/ldconfig",
        "%pre -p <lua>",
        "%triggerin -- bash",
        "%filetriggerin -- /usr",
        "%transfiletriggerin -- /usr",
    ],
)
def test_a_script_that_may_have_to_run_is_named(ground: Ground, section: str) -> None:
    body = "" if section.endswith("ldconfig") else "print(1)" if "lua" in section else "echo"
    path = build_rpm(ground.directory, "scripted", files={}, scripts={section: body})
    assert carried(read_rpm(path).header) == [section.split(maxsplit=1)[0]]


def test_all_its_scripts_are_named_and_those_that_never_run_are_not(ground: Ground) -> None:
    never = ["%preun", "%postun", "%pretrans -p <lua>", "%verifyscript", "%triggerun -- a", "%triggerpostun -- a"]
    never += ["%triggerprein -- a"]
    never += ["%filetriggerun -- /usr", "%transfiletriggerpostun -- /usr"]
    scripts = {section: "print(1)" if "lua" in section else "echo" for section in never}
    tidy = build_rpm(ground.directory, "tidy", files={}, scripts=scripts)
    assert carried(read_rpm(tidy).header) == []
    busy = build_rpm(ground.directory, "busy", files={}, scripts={"%post": "a", "%triggerin -- x": "b", **scripts})
    assert carried(read_rpm(busy).header) == ["%post", "%triggerin"]


def test_the_prefix_is_read_as_the_file_is(ground: Ground) -> None:
    path = build_rpm(ground.directory, "foo", "1.5", "3", epoch=2, files={"/usr/bin/foo": "x" * 9999})
    package = read_rpm(path)
    assert package.nevra == "foo-2:1.5-3.noarch" == nevra_of(header_of(package.prefix))
    assert path.read_bytes().startswith(package.prefix)
    assert len(package.prefix) < path.stat().st_size
    assert read_rpm(build_rpm(ground.directory, "zero", epoch=0, files={})).nevra == "zero-1.0-1.noarch"


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "text.rpm", b"hello"), (tmp_path / "zeros.rpm", bytes(10_000))):
        path.write_bytes(content)
        with pytest.raises(ImportRefused, match=f"{path} is not a readable RPM"):
            read_rpm(path)
    with pytest.raises(ImportRefused, match=r"missing.rpm: No such file"):
        read_rpm(tmp_path / "missing.rpm")
