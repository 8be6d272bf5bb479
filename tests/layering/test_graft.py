"""Package trees grafted onto a base's tree."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from layering.accounts import parse_accounts
from layering.commit_tree import find_path
from layering.errors import FileConflict, ImportRefused
from tests.acceptance.rpms import File, Files
from tests.layering.bases import Found, Gio, GLib, Ground, OSTree

ELF = {32: b"\x7fELF\x01\x01\x01", 64: b"\x7fELF\x02\x01\x01"}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def data(ground: Ground, commit: str, path: str) -> bytes:
    found = ground.find(commit, path)
    assert found is not None, path
    return found.data


def directory(mode: int = 0o755, user: str = "root", group: str = "root") -> File:
    return File(directory=True, mode=mode, user=user, group=group)


def test_the_base_stays_and_the_packages_files_are_added(ground: Ground) -> None:
    base = ground.base()
    package = ground.package("foo", {"/usr/bin/foo": "foo\n", "/usr/share/foo/a/b": "b\n", "/etc/foo": "e\n"})
    commit = ground.grafted(base, [package])
    assert data(ground, commit, "usr/bin/foo") == b"foo\n"
    assert data(ground, commit, "usr/share/foo/a/b") == b"b\n"
    assert data(ground, commit, "usr/etc/foo") == b"e\n"
    assert ground.find(commit, "etc") is None
    assert data(ground, commit, "usr/bin/base-tool") == b"#!/bin/sh\n"
    assert ground.find(commit, "usr/share/foo/a") == Found(Gio.FileType.DIRECTORY, 0o755, 0, 0)
    ground.fsck()


def test_no_file_of_the_base_is_read(ground: Ground) -> None:
    base = ground.base()
    package = ground.package("foo", {"/usr/bin/foo": "foo\n"})
    for path in (ground.path / "objects").glob("*/*.file"):
        path.write_bytes(b"?") if path.is_file() and not path.is_symlink() else None
    assert data(ground, ground.grafted(base, [package]), "usr/bin/foo") == b"foo\n"


def test_paths_lead_through_the_bases_directory_links(ground: Ground) -> None:
    links: Files = {
        "/usr/lib/a": File(symlink="../share/b"),
        "/usr/share/b": File(symlink="/usr/share/c"),
        "/usr/share/c/x": "x",
    }
    base = ground.base(links)
    files: Files = {"/bin/foo": "1", "/lib64/libfoo": "2", "/usr/lib/a/d/foo": "3", "/usr/lib/a": directory(0o700)}
    commit = ground.grafted(base, [ground.package("foo", files)])
    assert [data(ground, commit, path) for path in ("usr/bin/foo", "usr/lib64/libfoo", "usr/share/c/d/foo")] == [
        b"1",
        b"2",
        b"3",
    ]
    assert [ground.find(commit, path) for path in ("bin", "usr/lib/a")] == [
        ground.find(base, path) for path in ("bin", "usr/lib/a")
    ]
    assert ground.find(commit, "usr/share/c") == ground.find(base, "usr/share/c")


def test_paths_lead_through_links_of_other_packages_whatever_their_names(ground: Ground) -> None:
    base = ground.base()
    through: Files = {"/usr/share/link/file": "f\n"}
    link: Files = {"/usr/share/link": File(symlink="real"), "/usr/share/real": directory(0o711)}
    for names in (("a", "z"), ("z", "a")):
        commit = ground.grafted(base, [ground.package(names[0], through), ground.package(names[1], link)])
        assert data(ground, commit, "usr/share/real/file") == b"f\n"
        found = ground.find(commit, "usr/share/link")
        assert found is not None
        assert found.target == "real"
        assert ground.find(commit, "usr/share/real") == Found(Gio.FileType.DIRECTORY, 0o711, 0, 0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("loop", "in a circle"),
        ("../../../../tmp", "out of the image"),
        ("/var/lib/foo", "which is not part of the image"),
        ("../../home", "which is not part of the image"),
        ("../local", "which is not part of the image"),
    ],
)
def test_links_that_lead_nowhere_good_are_refused(ground: Ground, target: str, message: str) -> None:
    base = ground.base({"/usr/share/loop": File(symlink=target)})
    with pytest.raises(ImportRefused, match=f"^foo-1.0-1.noarch: .*/usr/share/loop.*{message}"):
        ground.grafted(base, [ground.package("foo", {"/usr/share/loop/x": "x"})])


def test_the_same_content_merges_with_the_bases_and_with_another_packages(ground: Ground) -> None:
    base = ground.base()
    same: Files = {"/usr/bin/base-tool": "#!/bin/sh\n", "/usr/share/twin": "twin\n", "/usr/lib/l": File(symlink="x")}
    commit = ground.grafted(base, [ground.package("a", same), ground.package("b", same)])
    assert ground.find(commit, "usr/bin/base-tool") == ground.find(base, "usr/bin/base-tool")
    assert data(ground, commit, "usr/share/twin") == b"twin\n"


def test_the_bases_labels_are_no_difference(ground: Ground) -> None:
    tree = ground.base()
    ground.repo.prepare_transaction()
    mutable = OSTree.MutableTree.new_from_commit(ground.repo, tree)
    label = labelled("system_u:object_r:bin_t:s0")
    checksum = ground.repo.write_regfile_inline(None, 0, 0, 0o100755, label, b"#!/bin/sh\n")
    mutable.lookup("usr")[2].lookup("bin")[2].replace_file("base-tool", checksum)
    _, root = ground.repo.write_mtree(mutable)
    _, base = ground.repo.write_commit_with_time(None, "labelled", "", None, root, 1)
    ground.repo.commit_transaction()
    commit = ground.grafted(base, [ground.package("foo", {"/usr/bin/base-tool": "#!/bin/sh\n"})])
    assert ground.find(commit, "usr/bin/base-tool") == ground.find(base, "usr/bin/base-tool")


@pytest.mark.parametrize(
    "other",
    [File("other\n"), File("same\n", mode=0o600), File("same\n", user="games"), File(symlink="y"), directory()],
    ids=["content", "mode", "owner", "link", "directory"],
)
def test_anything_else_at_one_path_is_a_conflict_that_names_path_and_owners(ground: Ground, other: File) -> None:
    base = ground.base()
    one, two = ground.package("one", {"/usr/share/x": "same\n"}), ground.package("two", {"/usr/share/x": other})
    for order in ([one, two], [two, one]):
        with pytest.raises(FileConflict, match=r"^/usr/share/x of two-1.0-1.noarch is .* one-1.0-1.noarch$"):
            ground.grafted(base, order)


@pytest.mark.parametrize("path", ["/usr/bin/base-tool", "/bin/base-tool", "/usr/share/base-tool", "/usr/bin/bash/x"])
def test_a_conflict_with_the_base_names_the_package_that_owns_the_path_there(ground: Ground, path: str) -> None:
    base = ground.base()
    owner = "bash-5.2.26-3.x86_64" if path.endswith("bash/x") else "base-tool-1.0-1.noarch"
    if path == "/usr/share/base-tool":
        owner = "the base"  # a directory that no package owns
    real = path.replace("/bin/", "/usr/bin/").replace("/usr/usr", "/usr").removesuffix("/x")
    with pytest.raises(FileConflict, match=f"^{real} of foo-1.0-1.noarch is .* {owner}$"):
        ground.composed(base, [ground.package("foo", {path: "other\n"})])


def test_a_conflict_in_etc_is_named_as_the_host_sees_it(ground: Ground) -> None:
    base = ground.base()
    with pytest.raises(FileConflict, match=r"/etc/os-release of foo-1.0-1.noarch is .* fedora-release-40-1.noarch"):
        ground.composed(base, [ground.package("foo", {"/etc/os-release": "other\n"})])


def test_of_a_32_bit_and_a_64_bit_file_the_64_bit_one_is_laid(ground: Ground) -> None:
    base = ground.base()
    programs = {bits: compiled(bits) for bits in ELF}
    packages = [
        ground.package("tool", {"/usr/bin/tool": File(programs[32])}, arch="i686"),
        ground.package("tool", {"/usr/bin/tool": File(programs[64])}, arch="x86_64"),
    ]
    assert [[int(colour) for colour in package.header["filecolors"]] for package in packages] == [[1], [2]]
    for order in (packages, packages[::-1]):
        assert data(ground, ground.grafted(base, order), "usr/bin/tool") == programs[64]


def compiled(bits: int) -> bytes:
    """The header of an ELF executable, which is all that rpmbuild looks at for a file's colour."""
    machine = {32: 3, 64: 62}[bits].to_bytes(2, "little")
    return ELF[bits] + bytes(9) + b"\x02\0" + machine + b"\x01\0\0\0" + bytes(64)


def test_a_directory_is_as_the_package_that_owns_it_says_in_any_order(ground: Ground) -> None:
    base = ground.base()
    files: list[Files] = [
        {"/usr/share/deep/own/a": "a"},
        {"/usr/share/deep/own": directory(0o2771, "games", "adm"), "/usr/share/deep/own/b": "b"},
        {"/usr/share/deep/own/c": "c"},
    ]
    for order in itertools.permutations(files):
        packages = [ground.package(name, each) for name, each in zip("abc", order, strict=True)]
        commit = ground.grafted(base, packages[::-1])
        assert ground.find(commit, "usr/share/deep/own") == Found(Gio.FileType.DIRECTORY, 0o2771, 12, 3)
        assert ground.find(commit, "usr/share/deep") == Found(Gio.FileType.DIRECTORY, 0o755, 0, 0)
        assert [data(ground, commit, f"usr/share/deep/own/{name}") for name in "abc"] == [b"a", b"b", b"c"]


def test_two_owners_of_a_directory_have_to_agree_on_it(ground: Ground) -> None:
    base = ground.base()
    packages = [
        ground.package(name, {"/usr/share/x": directory(mode), f"/usr/share/x/{name}": ""})
        for name, mode in (("one", 0o755), ("two", 0o700), ("also", 0o755))
    ]
    ground.grafted(base, [packages[0], packages[2]])
    with pytest.raises(FileConflict, match=r"directory /usr/share/x .* one-1.0-1.noarch .* two-1.0-1.noarch"):
        ground.grafted(base, packages[:2])


def test_a_directory_of_the_base_stays_as_it_is(ground: Ground) -> None:
    base = ground.base()
    commit = ground.grafted(base, [ground.package("foo", {"/usr/share": directory(0o700), "/usr/share/foo": ""})])
    assert ground.find(commit, "usr/share") == ground.find(base, "usr/share")


def test_the_order_of_the_packages_does_not_matter(ground: Ground) -> None:
    base = ground.base()
    packages = [
        ground.package("a", {"/usr/share/x/a": "a", "/var/lib/x": directory(), "/bin/a": "a"}),
        ground.package("b", {"/usr/share/x": directory(0o750), "/usr/share/x/b": "b", "/opt/x/b": "b"}),
        ground.package("c", {"/usr/share/x/a": "a", "/opt/x/c": File("c", user="games", mode=0o4755)}),
    ]
    assert len({ground.grafted(base, order) for order in itertools.permutations(packages)}) == 1


def test_owners_are_numbered_as_in_the_base_and_their_special_bits_come_back(ground: Ground) -> None:
    base = ground.base()
    files: Files = {
        "/usr/bin/game": File("x\n", mode=0o6755, user="games", group="adm", caps="cap_net_raw=ep"),
        "/usr/lib/link": File(symlink="x", user="adm"),
        "/usr/lib/plain": "plain\n",
        "/usr/share/games": directory(0o2775, "root", "games"),
    }
    package = ground.package("game", files)
    commit = ground.grafted(base, [package])
    game = ground.find(commit, "usr/bin/game")
    assert game is not None
    assert (game.mode, game.uid, game.gid, game.data) == (0o6755, 12, 3, b"x\n")
    assert [name for name, _ in game.attributes] == [b"security.capability\0"]
    link = ground.find(commit, "usr/lib/link")
    assert link is not None
    assert (link.uid, link.gid, link.target) == (3, 0, "x")
    assert ground.find(commit, "usr/share/games") == Found(Gio.FileType.DIRECTORY, 0o2775, 0, 12)
    found = find_path(package.repo, package.commit, "usr/lib/plain")
    assert found is not None
    plain = found.get_checksum()
    assert (ground.path / f"objects/{plain[:2]}/{plain[2:]}.file").stat().st_nlink == 2, "the cache's object, linked"
    ground.fsck()


@pytest.mark.parametrize(
    ("file", "kind"), [(File("x", user="nosuch"), "user"), (File("x", group="nosuch"), "group")], ids=["user", "group"]
)
def test_an_owner_that_the_base_does_not_know_is_named_with_the_package(ground: Ground, file: File, kind: str) -> None:
    with pytest.raises(ImportRefused, match=f"foo-1.0-1.noarch has files of the {kind} 'nosuch'"):
        ground.grafted(ground.base(), [ground.package("foo", {"/usr/bin/foo": file})])


def test_a_user_of_the_images_own_file_comes_first() -> None:
    texts = ["games:x:12:20::/:/\n", "# comment\ngames:x:5:5::/:/\nroot:x:0:0::/:/\nadm:x:3:4\nbad:x:y\n+::::\n"]
    assert parse_accounts(texts) == {"root": 0, "games": 12, "adm": 3}


def test_fragments_for_tmpfiles_are_written_one_for_each_package_name(ground: Ground) -> None:
    base = ground.base()
    foo = {arch: {f"/var/lib/foo-{arch}": directory(), "/var/lib/foo": directory()} for arch in ("i686", "x86_64")}
    packages = [ground.package("foo", files, arch=arch) for arch, files in foo.items()]
    packages.append(ground.package("bar", {"/opt/bar/x": "x"}))
    commit = ground.grafted(base, packages)
    lines = [f"d /var/lib/{name} 0755 root root - -\n" for name in ("foo", "foo-i686", "foo-x86_64")]
    assert data(ground, commit, "usr/lib/tmpfiles.d/pkg-foo.conf").decode() == "".join(lines)
    link = b"L /var/opt/bar - - - - ../../usr/lib/opt/bar\n"
    assert data(ground, commit, "usr/lib/tmpfiles.d/pkg-bar.conf") == link
    assert data(ground, commit, "usr/lib/opt/bar/x") == b"x"


def test_a_fragment_of_that_name_in_the_base_stays(ground: Ground) -> None:
    base = ground.base({"/usr/lib/tmpfiles.d/pkg-foo.conf": "# the base's\n"})
    commit = ground.grafted(base, [ground.package("foo", {"/run/foo": directory()})])
    assert data(ground, commit, "usr/lib/tmpfiles.d/pkg-foo.conf") == b"# the base's\n"
    assert data(ground, commit, "usr/lib/tmpfiles.d/pkg-foo-layer.conf") == b"d /run/foo 0755 root root - -\n"


def test_a_base_that_has_etc_alone_gets_its_files_there(ground: Ground, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path in ("etc", "usr/bin"):
        (tree / path).mkdir(parents=True)
    (tree / "etc/passwd").write_text("games:x:5:5::/:/\n")
    base = ground.base(tree=tree)
    commit = ground.grafted(base, [ground.package("foo", {"/etc/foo/bar": File("x", user="games")})])
    found = ground.find(commit, "etc/foo/bar")
    assert found is not None
    assert (found.data, found.uid) == (b"x", 5)
    assert ground.find(commit, "usr/etc") is None


def test_a_base_without_etc_gets_it_where_images_keep_it(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "tree/usr").mkdir(parents=True)
    base = ground.base(tree=tmp_path / "tree")
    commit = ground.grafted(base, [ground.package("foo", {"/etc/foo": "x"})])
    assert data(ground, commit, "usr/etc/foo") == b"x"


def test_a_package_of_many_files_is_attached(ground: Ground) -> None:
    base = ground.base()
    package = ground.package("many", {f"/usr/share/many/{i % 50}/{i}": str(i) for i in range(3000)})
    commit = ground.grafted(base, [package])
    assert data(ground, commit, "usr/share/many/49/2999") == b"2999"


def labelled(label: str) -> GLib.Variant:
    """The extended attributes of a file with an SELinux label."""
    return GLib.Variant("a(ayay)", [(b"security.selinux\0", label.encode() + b"\0")])
