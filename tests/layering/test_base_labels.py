"""The base's own files under another policy: those that the changed contexts name, and no walk through the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from layering.base_labels import relabel_base
from layering.labels import LABEL, Labels
from layering.policy import read_policy
from tests.acceptance.policies import CONTEXTS, PLACE, context, policy
from tests.acceptance.rpms import File, Files
from tests.layering.bases import BASE_TIME, Ground, OSTree

FILES: Files = {
    "/usr/share/thing/a": "a",
    "/usr/share/thing/deep/b": "b",
    "/usr/share/thing-else": "e",
    "/usr/share/link": File(symlink="thing"),
    "/usr/etc/thing.conf": "c",
    "/usr/lib64/libthing.so": "l",
    "/usr/bin/thing": "t",
}
SHADOW = context("shadow_t")


class Relabelled:
    """A base of these files without labels, after its policy got other contexts. `labels`: type of what has one."""

    def __init__(self, ground: Ground, after: Files, before: Files) -> None:
        base = ground.base({**FILES, **before})
        labels = [Labels(read_policy(ground.repo, commit)) for commit in (base, ground.base({**FILES, **after}))]
        tree = OSTree.MutableTree.new_from_commit(ground.repo, base)
        ground.repo.prepare_transaction()
        self.count = relabel_base(ground.repo, tree, labels[0], labels[1])
        _, root = ground.repo.write_mtree(tree)
        _, commit = ground.repo.write_commit_with_time(base, "", "", None, root, BASE_TIME)
        ground.repo.commit_transaction()
        self.contents = {path: found.data for path in FILES if (found := ground.find(commit, path))}
        paths = [*FILES, "/usr/share/thing", "/usr/share/thing/deep", "/usr/share", "/usr/etc", "/usr/lib64"]
        self.labels = {path: kind for path in paths if (kind := type_of(root, path))}


def type_of(root: OSTree.RepoFile, path: str) -> str | None:
    file = root.resolve_relative_path(path.strip("/"))
    file.ensure_resolved()
    _, attributes = file.get_xattrs(None)
    labels = [bytes(value).decode() for name, value in attributes.unpack() if bytes(name).rstrip(b"\0") == LABEL]
    return labels[0].split(":")[2] if labels else None


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("/usr/share/thing(/.*)?", ["thing", "thing/a", "thing/deep", "thing/deep/b"]),
        ("/usr/share/thing(/.*)? -d", ["thing", "thing/deep"]),
        ("/usr/share/thing.*", ["thing", "thing/a", "thing/deep", "thing/deep/b", "thing-else"]),
        ("/usr/share/(thing-else|link)", ["thing-else", "link"]),
        ("/usr/share/things?/a --", ["thing/a"]),
        ("/usr/share/thing\\-else", ["thing-else"]),
        ("/usr/share/[[:alpha:]]+/a", ["thing/a"]),
        ("/usr/share/none", []),
    ],
)
def test_what_a_new_context_names_gets_its_label_and_nothing_else(ground: Ground, line: str, paths: list[str]) -> None:
    found = Relabelled(ground, policy(f"{line} {SHADOW}"), policy())
    assert found.labels == {f"/usr/share/{path}": "shadow_t" for path in paths}
    assert found.count == len(paths)
    assert found.contents["/usr/share/thing/a"] == b"a"


def test_paths_are_those_of_the_host(ground: Ground) -> None:
    lines = (f"/etc/thing\\.conf {SHADOW}", f"/usr/lib/libthing\\.so {SHADOW}", f"/usr/etc/thing.* {context('bin_t')}")
    found = Relabelled(ground, policy(*lines), policy())
    # file_contexts.subs_dist: what lies in /usr/lib64 is labelled as if it lay in /usr/lib.
    assert found.labels == {"/usr/etc/thing.conf": "shadow_t", "/usr/lib64/libthing.so": "shadow_t"}


def test_another_substitution_is_a_change_of_all_that_lies_there(ground: Ground) -> None:
    subs = {f"{PLACE}/{CONTEXTS}.subs": "/usr/share/thing /usr/bin\n"}
    found = Relabelled(ground, {**policy(), **subs}, policy())
    assert found.labels == dict.fromkeys(
        ("/usr/share/thing", "/usr/share/thing/a", "/usr/share/thing/deep", "/usr/share/thing/deep/b"), "bin_t"
    )


def test_a_context_that_goes_changes_what_it_named(ground: Ground) -> None:
    found = Relabelled(ground, policy(), policy(f"/usr/bin/thing -- {SHADOW}"))
    assert found.labels == {"/usr/bin/thing": "bin_t"}


def test_what_both_policies_label_the_same_stays_as_the_base_has_it(ground: Ground) -> None:
    found = Relabelled(ground, policy(f"/usr/bin/thing -- {context('bin_t')}"), policy())
    assert (found.labels, found.count) == ({}, 0)


def test_directories_that_no_context_is_about_are_not_even_read(ground: Ground) -> None:
    base = ground.base({**FILES, **policy()})
    labels = [
        Labels(read_policy(ground.repo, commit))
        for commit in (base, ground.base({**FILES, **policy(f"/usr/share/thing(/.*)? {SHADOW}")}))
    ]
    _, root, _ = ground.repo.read_commit(base)
    unrelated = root.resolve_relative_path("usr/bin")
    unrelated.ensure_resolved()
    checksum = unrelated.tree_get_contents_checksum()
    (ground.path / f"objects/{checksum[:2]}/{checksum[2:]}.dirtree").unlink()
    tree = OSTree.MutableTree.new_from_commit(ground.repo, base)
    ground.repo.prepare_transaction()
    assert relabel_base(ground.repo, tree, labels[0], labels[1]) == 4
    ground.repo.abort_transaction()


def test_a_base_without_a_policy_keeps_its_files_as_they_are(ground: Ground) -> None:
    assert Relabelled(ground, policy(f"/usr/bin/thing {SHADOW}"), {}).labels == {}
    assert Relabelled(ground, {}, policy()).labels == {}
