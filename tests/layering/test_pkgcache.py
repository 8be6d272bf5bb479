"""The package cache: what is in it is found by NEVRA and checksum, and all of it can be had again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from journal.values import Package
from layering.cached_package import CachedPackage, branch_of
from layering.errors import ChecksumMismatch, ImportRefused
from layering.objects import CacheBroken
from layering.policy import read_policy
from layering.rpmfile import nevra_of
from tests.acceptance.rpms import File, Files, build_rpm, corrupt, nevra, sha256
from tests.layering.bases import Ground, OSTree

FOO = "foo-1.0-1.noarch"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.mark.parametrize(
    ("nevra", "branch"),
    [
        ("perl-4:5.16.3-291.el7.x86_64", "perl/4_3A5.16.3-291.el7.x86__64"),
        ("foo-1.0-1.noarch", "foo/1.0-1.noarch"),
        ("libstdc++-13.2.1-6.fc39.i686", "libstdc_2B_2B/13.2.1-6.fc39.i686"),
        ("a-b-c_d-1.0~rc1^git-1.noarch", "a-b-c__d/1.0_7Erc1_5Egit-1.noarch"),
    ],
)
def test_branches_are_named_as_rpm_ostrees(nevra: str, branch: str) -> None:
    assert branch_of(nevra) == branch
    assert OSTree.validate_rev(f"layer/pkg/{branch}/{'0' * 64}")


def test_a_package_is_found_by_nevra_and_checksum(ground: Ground) -> None:
    path = build_rpm(ground.directory, "foo", files={"/usr/bin/foo": "x\n"})
    hint = Package(FOO, sha256(path), "updates", "abcd")
    imported = ground.cache.import_rpm(path, hint)
    assert imported.package == hint
    found = ground.cache.find(Package(FOO, sha256(path)))
    assert found == imported
    assert nevra_of(found.header) == FOO
    assert path.read_bytes().startswith(found.prefix)
    assert ground.cache.find(Package(FOO)) == imported
    assert ground.cache.find(Package(FOO, "0" * 64)) is None
    assert ground.cache.find(Package("foo-1.1-1.noarch")) is None
    assert ground.cache.find(Package("fo-1.0-1.noarch")) is None
    assert ground.cache.packages() == [hint]


def test_an_rpm_made_again_under_its_nevra_is_another_package(ground: Ground) -> None:
    paths = [build_rpm(ground.directory / text, "foo", files={"/usr/bin/foo": text}) for text in ("one", "two")]
    imported = [ground.cache.import_rpm(path, Package(FOO)) for path in paths]
    assert imported[0].commit != imported[1].commit
    assert [ground.cache.find(Package(FOO, sha256(path))) for path in paths] == imported
    assert ground.cache.find(Package(FOO)) in imported


def test_another_package_than_the_one_that_is_named_is_refused(ground: Ground) -> None:
    path = build_rpm(ground.directory, "foo", files={})
    with pytest.raises(ChecksumMismatch, match=f"SHA-256 of {FOO} is {sha256(path)}, not {'0' * 64}"):
        ground.cache.import_rpm(path, Package(FOO, "0" * 64))
    with pytest.raises(ChecksumMismatch, match=f"holds {FOO}, not bar-1.0-1.noarch"):
        ground.cache.import_rpm(path, Package("bar-1.0-1.noarch"))
    assert ground.cache.packages() == []


def test_looking_makes_no_cache(ground: Ground) -> None:
    assert ground.cache.find(Package(FOO, "0" * 64)) is None
    assert ground.cache.packages() == []
    assert ground.cache.retain([]) == (0, 0)
    assert list(ground.cache.import_rpms({})) == []
    assert not ground.cache.path.exists()


def test_the_cache_is_out_of_reach_of_users(ground: Ground) -> None:
    ground.package("foo", {"/usr/bin/su": File("x", mode=0o4755)})
    assert ground.cache.path.parent.stat().st_mode & 0o077 == 0


def test_a_package_is_unpacked_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ground.package("foo", {"/usr/bin/foo": "x\n"})
    monkeypatch.setattr("layering.pkgcache.import_payload", None)
    assert ground.package("foo", {"/usr/bin/foo": "x\n"}) == first


def test_packages_imported_side_by_side_are_those_imported_one_by_one(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(9)]
    paths = [build_rpm(tmp_path, name, files={f"/usr/bin/{name}": name, "/usr/share/all": "x"}) for name in names]
    files = {Package(nevra(path), sha256(path), "updates"): path for path in paths}
    found = []
    for processes in (1, 3):
        ground = Ground(tmp_path / str(processes))
        imported = dict(ground.cache.import_rpms(files, processes=processes))
        assert {wanted: cached.package for wanted, cached in imported.items()} == {each: each for each in files}
        assert all(ground.cache.find(package) == cached for package, cached in imported.items())
        found.append({package: cached.commit for package, cached in imported.items()})
        assert ground.grafted(ground.base(), imported.values())
        ground.fsck()
    assert found[0] == found[1]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_imported_before_another_failed_stays(ground: Ground, processes: int) -> None:
    """The largest comes first, so the damaged one is the third."""
    paths = [
        build_rpm(ground.directory, f"p{n}", files={"/usr/share/f": os.urandom(50_000 - n * 9_000)}) for n in range(5)
    ]
    corrupt(paths[2])
    files = {Package(nevra(path)): path for path in paths}
    with pytest.raises(ImportRefused, match=f"{paths[2]} is damaged"):
        dict(ground.cache.import_rpms(files, processes=processes))
    kept = {each.nevra for each in ground.cache.packages()}
    assert kept >= {"p0-1.0-1.noarch", "p1-1.0-1.noarch"}
    assert "p2-1.0-1.noarch" not in kept
    paths[2].unlink()
    again = build_rpm(ground.directory, "p2", files={"/usr/f": "x"})
    assert len(dict(ground.cache.import_rpms({**files, Package(nevra(again)): again}, processes=processes))) == 5


def test_deleting_the_cache_loses_nothing(tmp_path: Path) -> None:
    before = Ground(tmp_path / "before").package("foo", {"/usr/bin/foo": "x\n"})
    shutil.rmtree(tmp_path / "before/ostree/repo/extensions")
    after = Ground(tmp_path / "after").package("foo", {"/usr/bin/foo": "x\n"})
    assert after.commit == before.commit


def test_a_half_made_cache_is_made_anew(ground: Ground) -> None:
    ground.cache.path.mkdir(parents=True)
    (ground.cache.path / "objects").mkdir()
    assert ground.package("foo", {}).nevra == FOO


@pytest.mark.parametrize("length", [0, 1, 30])
def test_a_damaged_commit_is_not_found_and_is_healed_by_importing_again(ground: Ground, length: int) -> None:
    package = ground.package("foo", {"/usr/bin/foo": "x\n"})
    os.truncate(object_path(ground, package.commit, "commit"), length)
    assert ground.cache.find(package.package) is None
    assert ground.package("foo", {"/usr/bin/foo": "x\n"}) == package
    assert ground.cache.find(package.package) == package
    ground.fsck()


@pytest.mark.parametrize("length", [0, 1, 30])
def test_whatever_directory_is_damaged_it_is_noticed(ground: Ground, length: int) -> None:
    base = ground.base()
    files: Files = {"/usr/share/foo": File(directory=True, mode=0o711), "/usr/share/foo/data": "the data\n"}
    package = ground.package("foo", files)
    for path in sorted(ground.cache.path.glob("objects/??/*.dir*")):
        if (ground.path / path.relative_to(ground.cache.path)).exists():
            continue  # the base has it, and so it is not missed
        os.truncate(path, length)
        read_policy(ground.repo, base, [package])  # what looks into packages before they are laid
        with pytest.raises(CacheBroken, match=FOO):
            ground.grafted(base, [package])
        assert ground.package("foo", files) == package


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
@pytest.mark.parametrize("kind", ["file", "dirtree", "dirmeta"])
def test_a_damaged_object_is_noticed_when_it_is_laid_and_healed_by_importing_again(
    ground: Ground, damage: str, kind: str
) -> None:
    base = ground.base()
    files: Files = {"/usr/share/foo": File(directory=True, mode=0o711), "/usr/share/foo/data": "the data\n"}
    package = ground.package("foo", files)
    expected = ground.grafted(base, [package])
    ground.repo.set_ref_immediate(None, "graft", None, None)
    ground.repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)
    _, root, _ = package.repo.read_commit(package.commit)
    directory = root.resolve_relative_path("usr/share/foo")
    directory.ensure_resolved()
    checksums = {
        "file": directory.get_child("data").get_checksum(),
        "dirtree": directory.tree_get_contents_checksum(),
        "dirmeta": directory.tree_get_metadata_checksum(),
    }
    path = object_path(ground, checksums[kind], kind)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, 0)
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CacheBroken, match=FOO) as caught:
        ground.grafted(base, [package])
    assert caught.value.package == package.package
    assert ground.cache.find(package.package) is None
    assert ground.grafted(base, [ground.package("foo", files)]) == expected
    ground.fsck()


def test_what_is_not_kept_goes_and_frees_its_space(ground: Ground) -> None:
    kept, gone = ground.package("foo", {"/usr/bin/foo": "x\n"}), ground.package("bar", {"/usr/bin/bar": "y" * 99_999})
    assert ground.cache.retain([kept.package])[1] > 99_999
    assert ground.cache.packages() == [kept.package]
    assert ground.cache.find(gone.package) is None
    assert still_whole(kept)


def still_whole(package: CachedPackage) -> bool:
    return bool(package.repo.read_commit(package.commit)[0])


def object_path(ground: Ground, checksum: str, kind: str) -> Path:
    return ground.cache.path / f"objects/{checksum[:2]}/{checksum[2:]}.{kind}"
