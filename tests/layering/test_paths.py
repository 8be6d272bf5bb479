"""Where a path of an RPM goes in an OSTree image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layering.errors import ImportRefused
from layering.paths import OUTSIDE, Entry, Kind, Placement, place, refuse_kernel
from layering.tmpfiles import Line, directories_of, paths_of

PACKAGE = "foo-1.0-1.noarch"
AWKWARD = [
    "an app",
    'it\'s "quoted"',
    "100% %h",
    "back\\slash",
    "hex\\x20",
    "Ünïcode",
    "tab\there",
    "#hash",
    "-",
    "sin'gle",
]


def regular(path: str) -> Placement:
    return place(Entry(path, Kind.REGULAR), PACKAGE)


def directory(path: str, mode: int = 0o755, user: str = "root", group: str = "root") -> Placement:
    return place(Entry(path, Kind.DIRECTORY, mode, user, group), PACKAGE)


def link(path: str, target: str) -> Placement:
    return place(Entry(path, Kind.SYMLINK, 0o777, target=target), PACKAGE)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/usr/bin/foo", "usr/bin/foo"),
        ("/bin/foo", "bin/foo"),
        ("/lib64/libfoo.so", "lib64/libfoo.so"),
        ("/etc/foo.conf", "usr/etc/foo.conf"),
        ("/etc/foo/d/x", "usr/etc/foo/d/x"),
        ("/usr//share///foo", "usr/share/foo"),
        ("/opt/foo/bin/x", "usr/lib/opt/foo/bin/x"),
    ],
)
def test_a_file_has_its_place_in_the_image(path: str, where: str) -> None:
    assert regular(path).path == where


@pytest.mark.parametrize("path", ["/", "/usr/local", "/var", "/run", "/home", "/boot", "/dev", "/proc", "/opt"])
def test_the_directories_of_the_host_are_left_to_the_host(path: str) -> None:
    assert directory(path) == Placement()


@pytest.mark.parametrize(
    "path",
    [
        "/usr/local/bin/x",
        "/usr/etc/x",
        "/boot/grub2/x",
        "/dev/x",
        "/proc/x",
        "/sys/x",
        "/sysroot/x",
        "/ostree/x",
        "/app/x",
    ],
)
def test_what_is_not_part_of_an_image_is_refused_by_package_and_path(path: str) -> None:
    with pytest.raises(ImportRefused, match=f"{PACKAGE}: {path} can't be layered"):
        regular(path)


@pytest.mark.parametrize("path", ["usr/bin/x", "", "/usr/../etc/x", "/usr/share/..", "/usr/./x", "../x"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ImportRefused, match=PACKAGE):
        regular(path)


@pytest.mark.parametrize("top", ["var/lib", "run", "srv", "home", "root", "mnt", "media", "tmp", "var/tmp"])
def test_outside_of_the_image_directories_and_links_are_made_at_boot_and_files_dropped(top: str) -> None:
    made = directory(f"/{top}/foo", 0o2770, "games", "adm")
    assert made.path is None
    assert made.line is not None
    assert made.line.render() == f"d /{top}/foo 2770 games adm - -"
    linked = link(f"/{top}/foo", "../elsewhere")
    assert linked.line is not None
    assert linked.line.render() == f"L /{top}/foo - - - - ../elsewhere"
    dropped = regular(f"/{top}/foo")
    assert (dropped.path, dropped.line) == (None, None)
    assert f"/{top}/foo" in str(dropped.note)


def test_what_was_moved_to_run_is_named_as_it_is_there() -> None:
    assert directory("/var/run/foo").line == Line("/run/foo", "d", 0o755, "root", "root")
    assert directory("/var/lock/foo").line == Line("/run/lock/foo", "d", 0o755, "root", "root")
    assert directory("/var/run") == Placement()


def test_opt_moves_under_usr_and_each_top_entry_is_linked_to_once() -> None:
    lines = {regular(f"/opt/foo/{name}").line for name in ("a", "b/c")} | {directory("/opt/foo").line}
    assert [line.render() for line in lines if line] == ["L /opt/foo - - - - ../../usr/lib/opt/foo"]


@pytest.mark.parametrize(
    ("target", "there"),
    [
        ("bin/x", "bin/x"),
        ("../bar/x", "../bar/x"),
        ("/usr/bin/x", "/usr/bin/x"),
        ("../../usr/bin/x", "/usr/bin/x"),
        ("../../etc/x", "/etc/x"),
    ],
)
def test_a_link_in_opt_still_leads_where_it_led(target: str, there: str) -> None:
    assert link("/opt/foo/link", target).target == there


def test_links_elsewhere_are_exact() -> None:
    assert link("/usr/bin/x", "../../opt/foo/x").target == "../../opt/foo/x"
    assert link("/etc/x", "../usr/share/x").target == "../usr/share/x"


def test_a_kernel_is_refused_and_its_modules_are_not() -> None:
    for path in (
        "/lib/modules/6.1/vmlinuz",
        "/usr/lib/modules/6.1/vmlinuz",
        "/boot/vmlinuz-6.1",
        "/boot/initramfs-6.1",
    ):
        with pytest.raises(ImportRefused, match="kernel"):
            refuse_kernel([path], [], PACKAGE)
    with pytest.raises(ImportRefused, match="provides kernel"):
        refuse_kernel([], ["kernel"], PACKAGE)
    refuse_kernel(["/lib/modules/6.1/extra/x.ko", "/usr/share/vmlinuz"], ["kernel-headers"], PACKAGE)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1).filter(
    lambda name: name not in {".", ".."}
)


@given(st.lists(st.one_of(st.sampled_from(["..", ".", "usr", "etc", "var", "opt", "local", "bin"]), names)))
def test_no_path_ends_up_outside_of_the_image(parts: list[str]) -> None:
    try:
        found = regular("/" + "/".join(parts)).path
    except ImportRefused:
        return
    if found is not None:
        assert ".." not in found.split("/")
        assert not any(f"{found}/".startswith(f"{outside}/") for outside in OUTSIDE)


@given(names, names)
def test_a_fragment_can_be_read_back(name: str, target: str) -> None:
    path = f"/var/{name}"
    for line in (Line(path, "d", 0o755, "root", "root"), Line(path, "L", target=target)):
        assert paths_of(line.render()) == {path}


def test_fragments_of_others_are_understood() -> None:
    text = (
        '# comment\nd "/var/with space" 0755 - - -\nL+ /run/a\\x20b - - - - /x\n\nf /etc/100%% - - - - x\nd /run/y/\n'
    )
    assert paths_of(text) == {"/var/with space", "/run/a b", "/etc/100%", "/run/y"}


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="needs systemd-tmpfiles")
def test_systemd_makes_what_the_lines_say(tmp_path: Path) -> None:
    lines = [Line(f"/var/{name}", "d", 0o700, "root", "root") for name in AWKWARD]
    lines += [Line(f"/var/link {name}", "L", target=name) for name in AWKWARD]
    fragment = tmp_path / "test.conf"
    fragment.write_text("".join(f"{line.render()}\n" for line in lines))
    root = tmp_path / "root"
    (root / "var").mkdir(parents=True)
    done = subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={root}", str(fragment)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (root / "var").iterdir() if path.is_dir() and not path.is_symlink()}
    assert made == set(AWKWARD)
    assert {str((root / f"var/link {name}").readlink()) for name in AWKWARD} == set(AWKWARD)


@pytest.mark.parametrize(
    "path", ["/usr" + "/a" * 128, "/usr/" + "n" * 256, "/usr/" + "é" * 128, "/usr" + ("/" + "n" * 200) * 21]
)
def test_what_no_file_system_holds_is_refused(path: str) -> None:
    with pytest.raises(ImportRefused, match=r"foo: .*(directories|longer than)"):
        place(Entry(path, Kind.REGULAR), "foo")


@pytest.mark.parametrize("path", ["/usr" + "/a" * 127, "/usr/" + "n" * 255, "/usr" + ("/" + "n" * 200) * 20])
def test_the_longest_that_a_file_system_holds_is_laid(path: str) -> None:
    assert place(Entry(path, Kind.REGULAR), "foo").path == path[1:]


def test_a_fragment_s_directories_are_read_as_tmpfiles_d_means_them() -> None:
    text = """# d /var/comment 0700 a b
d /var/plain
D! /var/all 2750 games adm 10d
d "/var/with space" - - adm
q= /var/masked ~0700 :games -
L /var/link - - - - target
f /var/file 0600
d /var/%m 0700
"""
    assert list(directories_of(text)) == [
        Line("/var/plain", "d", 0o755, "root", "root"),
        Line("/var/all", "d", 0o2750, "games", "adm"),
        Line("/var/with space", "d", 0o755, "root", "adm"),
        Line("/var/masked", "d", 0o700, "games", "root"),
    ]


@given(st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=3), st.integers(0, 0o7777))
def test_a_directory_is_read_as_it_was_written(parts: list[str], mode: int) -> None:
    line = Line("/".join(("/var", *parts)), "d", mode, "user", "group")
    assert list(directories_of(line.render())) == ([] if "%" in line.path else [line])
