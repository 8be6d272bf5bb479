"""The layered commit: a function of its inputs, made once, and nothing where it can't be made."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from journal.values import Package
from layering.base_facts import base_facts, parse_os_release
from layering.errors import BaseError, FileConflict, LayeringError
from layering.layer_key import Engine, LayerInputs, canonical_inputs, layer_inputs, layer_key, this_engine
from layering.layered_commit import compose, find_layer
from layering.rpmdb import checkout_rpmdb, installed
from tests.acceptance.rpms import BUILD_TIME, File, Files, build_rpm
from tests.layering.bases import BASE_TIME, Ground, OSTree

FOO: Files = {"/usr/bin/foo": "foo\n", "/usr/share/foo/data": File("d\n", user="games"), "/var/lib/foo/x": "x\n"}
BAR: Files = {"/lib64/libbar": "bar\n", "/var/lib/bar": File(directory=True)}
INPUTS = LayerInputs("b" * 64, (("a-1-1.noarch", "1" * 64), ("b-1-1.noarch", "2" * 64)), Engine(1, "4.18.0", "3.40.1"))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def metadata(ground: Ground, commit: str) -> dict[str, object]:
    _, variant, _ = ground.repo.load_commit(commit)
    return dict(variant.get_child_value(0).unpack())


def test_the_key_is_the_hash_of_all_inputs_in_one_form() -> None:
    text = canonical_inputs(INPUTS)
    assert layer_key(INPUTS) == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(text) == {
        "base": "b" * 64,
        "engine": {"format": 1, "librpm": "4.18.0", "sqlite": "3.40.1"},
        "options": {},
        "packages": [["a-1-1.noarch", "1" * 64], ["b-1-1.noarch", "2" * 64]],
        "policy": None,
    }
    # Written down: a key that changes from one version to the next would build every layer anew.
    assert layer_key(INPUTS) == "ebf10d84f8700e5fa8f29818dc6c035a7307221b8c7fa1efceb838ecd988358d"


def test_the_key_does_not_depend_on_the_order_of_anything() -> None:
    reordered = msgspec.structs.replace(INPUTS, packages=INPUTS.packages[::-1], options={"b": "1", "a": "2"})
    assert layer_key(reordered) == layer_key(msgspec.structs.replace(INPUTS, options={"a": "2", "b": "1"}))


@pytest.mark.parametrize(
    "change",
    [
        {"base": "c" * 64},
        {"packages": INPUTS.packages[:1]},
        {"packages": (INPUTS.packages[0], ("b-1-1.noarch", "3" * 64))},
        {"policy": "p"},
        {"options": {"scripts": "skip"}},
        {"engine": Engine(2, "4.18.0", "3.40.1")},
        {"engine": Engine(1, "4.19.0", "3.40.1")},
        {"engine": Engine(1, "4.18.0", "3.45.1")},
    ],
    ids=str,
)
def test_every_input_changes_the_key(change: dict[str, object]) -> None:
    assert layer_key(msgspec.structs.replace(INPUTS, **change)) != layer_key(INPUTS)


def test_the_engine_is_known() -> None:
    engine = this_engine()
    assert engine.librpm.startswith("4.")
    assert engine.sqlite.startswith("3.")


def test_the_layer_is_the_base_and_its_packages_and_both_are_in_the_rpmdb(ground: Ground, tmp_path: Path) -> None:
    base = ground.base()
    composed = ground.composed(base, [ground.package("foo", FOO), ground.package("bar", BAR)])
    assert not composed.reused
    assert composed.notes == ("foo-1.0-1.noarch: /var/lib/foo/x is left out: it is not part of an OSTree image",)
    _, variant, _ = ground.repo.load_commit(composed.commit)
    assert OSTree.commit_get_parent(variant) == base
    checkout_rpmdb(ground.repo, composed.commit, tmp_path / "root")
    checkout_rpmdb(ground.repo, base, tmp_path / "base")
    added = {"foo-1.0-1.noarch", "bar-1.0-1.noarch"}
    assert set(installed(tmp_path / "root")) == set(installed(tmp_path / "base")) | added
    listed = listing(ground, composed.commit, "/usr/share/rpm")
    assert listed == ["/usr/share/rpm", "/usr/share/rpm/rpmdb.sqlite"]
    new = set(listing(ground, composed.commit, "/")) - set(listing(ground, base, "/"))
    assert new == {
        "/usr/bin/foo",
        "/usr/share/foo",
        "/usr/share/foo/data",
        "/usr/lib64/libbar",
        "/usr/lib/tmpfiles.d/pkg-bar.conf",
    }
    ground.fsck()


def listing(ground: Ground, commit: str, path: str) -> list[str]:
    command = ["ostree", "ls", "-R", "--nul-filenames-only", f"--repo={ground.path}", commit, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sorted(line for line in done.stdout.split("\0") if line)


def test_the_same_inputs_give_the_same_commit_in_another_sysroot_at_another_time(tmp_path: Path) -> None:
    commits = set()
    for number, reverse in enumerate((False, True)):
        ground = Ground(tmp_path / f"{'x' * number}sysroot")
        base = ground.base()
        packages = [ground.package("foo", FOO), ground.package("bar", BAR)]
        commits.add((base, ground.composed(base, packages[::-1] if reverse else packages)))
        time.sleep(1.01)
    assert len(commits) == 1


def test_an_equal_key_is_reused_and_a_lost_commit_is_built_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ground.base()
    packages = [ground.package("foo", FOO)]
    first = ground.composed(base, packages)
    with monkeypatch.context() as patch:
        patch.setattr("layering.layered_commit.graft", None)
        again = ground.composed(base, packages)
    assert (again.reused, again.commit, again.notes) == (True, first.commit, first.notes)
    assert find_layer(ground.repo, first.key) == again
    assert find_layer(ground.repo, "0" * 64) is None
    (ground.path / f"objects/{first.commit[:2]}/{first.commit[2:]}.commit").unlink()
    assert find_layer(ground.repo, first.key) is None
    assert ground.composed(base, packages) == first


def test_the_commit_is_held_by_a_ref_until_that_is_dropped(ground: Ground) -> None:
    base = ground.base()
    composed = ground.composed(base, [ground.package("foo", FOO)])
    ground.repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)
    assert find_layer(ground.repo, composed.key) is not None
    ground.repo.set_ref_immediate(None, f"layer/key/{composed.key}", None, None)
    ground.repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0)
    assert find_layer(ground.repo, composed.key) is None
    ground.fsck()


def test_the_metadata_is_what_rpm_ostree_reads_and_ours(ground: Ground) -> None:
    base = ground.base()
    packages = [ground.package("foo", FOO), ground.imported(build_rpm(ground.directory, "epoch", epoch=3, files={}))]
    composed = ground.composed(base, packages)
    found = metadata(ground, composed.commit)
    assert found["rpmostree.clientlayer"] is True
    assert found["rpmostree.clientlayer_version"] == 6
    assert found["rpmostree.packages"] == ["epoch", "foo"]
    assert found["rpmostree.rpmdb.pkglist"] == [
        ("base-tool", "0", "1.0", "1", "noarch"),
        ("bash", "0", "5.2.26", "3", "x86_64"),
        ("epoch", "3", "1.0", "1", "noarch"),
        ("fedora-release", "0", "40", "1", "noarch"),
        ("filesystem", "0", "3.18", "1", "x86_64"),
        ("foo", "0", "1.0", "1", "noarch"),
    ]
    assert (found["version"], found["ostree.linux"], found["ostree.bootable"]) == ("40.1", "6.1.0", True)
    assert (found["layer.base"], found["layer.key"]) == (base, composed.key)
    assert hashlib.sha256(str(found["layer.inputs"]).encode()).hexdigest() == composed.key
    assert len(str(found["rpmostree.state-sha512"])) == 128


def test_the_time_of_the_commit_is_the_youngest_of_its_inputs(ground: Ground) -> None:
    base = ground.base()
    older = ground.composed(base, [ground.package("foo", FOO)])
    path = build_rpm(ground.directory / "later", "later", files={}, build_time=BASE_TIME + 77)
    younger = ground.composed(base, [ground.package("foo", FOO), ground.imported(path)])
    times = [base_facts(ground.repo, commit).timestamp for commit in (base, older.commit, younger.commit)]
    assert times == [BASE_TIME, BASE_TIME, BASE_TIME + 77]
    assert BUILD_TIME < BASE_TIME


def test_what_can_not_be_laid_leaves_nothing_behind(ground: Ground) -> None:
    base = ground.base()
    packages = [ground.package("foo", {"/usr/share/x": "1"}), ground.package("bar", {"/usr/share/x": "2"})]
    before = listing_of_objects(ground)
    with pytest.raises(FileConflict):
        ground.composed(base, packages)
    assert listing_of_objects(ground) == before
    assert list(ground.scratch.iterdir()) == []
    ground.composed(base, packages[:1])  # no transaction is left open
    assert list(ground.scratch.iterdir()) == []


def listing_of_objects(ground: Ground) -> set[Path]:
    """Objects and refs; what a transaction that was aborted has staged, libostree takes up again with the next one."""
    found = [*(ground.path / "objects").rglob("*"), *(ground.path / "refs").rglob("*")]
    return {path for path in found if path.is_file() or path.is_symlink()}


def test_a_layer_brings_a_few_objects_and_no_copy_of_the_base(ground: Ground) -> None:
    base = ground.base({f"/usr/share/data/{i}": f"{i}" for i in range(2000)})
    before = listing_of_objects(ground)
    ground.composed(base, [ground.package("foo", {"/usr/share/foo": "x"})])
    assert len(listing_of_objects(ground) - before) < 12


def test_a_base_that_is_not_there_is_an_error(ground: Ground) -> None:
    ground.base()
    with pytest.raises(BaseError, match="a" * 64):
        ground.composed("a" * 64, [ground.package("foo", FOO)])
    with pytest.raises(BaseError, match="a" * 64):
        base_facts(ground.repo, "a" * 64)


def test_a_base_that_was_pulled_in_part_is_no_base(ground: Ground) -> None:
    base = ground.base()
    (ground.path / "state").mkdir(exist_ok=True)
    (ground.path / f"state/{base}.commitpartial").touch()
    with pytest.raises(BaseError, match=f"{base} is only in part"):
        ground.composed(base, [ground.package("foo", FOO)])


def test_other_packages_than_the_keys_are_not_laid(ground: Ground) -> None:
    base = ground.base()
    inputs = layer_inputs(base, [Package("foo-1.0-1.noarch", "0" * 64)])
    with pytest.raises(LayeringError, match="not those that the layer key is made from"):
        compose(ground.repo, inputs, [ground.package("foo", FOO)], ground.scratch)


def test_the_facts_of_a_base(ground: Ground) -> None:
    facts = base_facts(ground.repo, ground.base())
    assert (facts.version, facts.timestamp) == ("40.1", BASE_TIME)
    assert facts.os_release == {
        "NAME": "Fedora Linux",
        "ID": "fedora",
        "VERSION_ID": "40",
        "PRETTY_NAME": "Fedora Linux 40 (Test)",
    }


def test_os_release_is_read_as_a_shell_would() -> None:
    text = "# c\nA=b\nQ=\"x \\\"y\\\"\"\nS='it'\nEMPTY=\nbad line\nE='a=b'\n"
    assert parse_os_release(text) == {"A": "b", "Q": 'x "y"', "S": "it", "EMPTY": "", "E": "a=b"}


def test_a_deleted_cache_changes_nothing(ground: Ground) -> None:
    base = ground.base()
    first = ground.composed(base, [ground.package("foo", FOO)])
    ground.repo.set_ref_immediate(None, f"layer/key/{first.key}", None, None)
    shutil.rmtree(ground.cache.path)
    fresh = type(ground.cache)(ground.cache.path)
    package = fresh.import_rpm(build_rpm(ground.directory, "foo", files=FOO), Package("foo-1.0-1.noarch"))
    assert ground.composed(base, [package]).commit == first.commit
