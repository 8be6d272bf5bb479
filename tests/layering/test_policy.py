"""A tree's SELinux policy: what its configuration says, which files count, and the checksum over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layering.labels import Labels, label_in, path_in_policy, with_label
from layering.policy import Config, parse_config, policy_checksum, read_policy
from tests.acceptance.policies import CONTEXTS, PLACE, context, policy, real_policy
from tests.acceptance.rpms import Files
from tests.layering.bases import GLib, Ground

FILES = {CONTEXTS: b"/usr x\n", "policy/policy.33": b"binary"}
REGULAR = 0o100644


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("", Config()),
        ("SELINUX=disabled\nSELINUXTYPE=targeted\n", Config(enabled=False, type="targeted")),
        ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", Config(enabled=True, type="targeted")),
        ("# SELINUX=enforcing\nSELINUX=permissive \nSELINUXTYPE=mls \n", Config(enabled=True, type="mls")),
        ("SELINUX=enforcing\n", Config(enabled=True, type=None)),
        ("SELINUX=enforcing\nSELINUXTYPE=\n", Config(enabled=True, type=None)),
        ("SELINUX=enforcing\nSELINUXTYPE=a\nSELINUXTYPE=b\n", Config(enabled=True, type="b")),
    ],
)
def test_the_configuration_is_read_as_libostree_reads_it(text: str, config: Config) -> None:
    assert parse_config(text) == config


def test_the_checksum_does_not_depend_on_the_order_of_files() -> None:
    assert policy_checksum(dict(reversed(FILES.items()))) == policy_checksum(FILES)


@pytest.mark.parametrize(
    "other",
    [
        {**FILES, CONTEXTS: b"/usr y\n"},
        {**FILES, "policy/policy.33": b"another"},
        {**FILES, f"{CONTEXTS}.local": b""},
        {CONTEXTS: FILES[CONTEXTS], "policy/policy.34": FILES["policy/policy.33"]},
        {CONTEXTS: FILES[CONTEXTS] + b"binary", "policy/policy.33": b""},
    ],
    ids=["contexts", "binary", "one more", "renamed", "moved"],
)
def test_any_other_file_is_another_checksum(other: dict[str, bytes]) -> None:
    assert policy_checksum(other) != policy_checksum(FILES)


@pytest.mark.parametrize("suffix", ["", ".homedirs", ".local", ".subs", ".subs_dist"])
def test_every_file_that_decides_on_labels_counts(ground: Ground, suffix: str) -> None:
    files = policy()
    before = read_policy(ground.repo, ground.base(files))
    name = f"{PLACE}/{CONTEXTS}{suffix}"
    content = files.get(name, b"")
    assert isinstance(content, bytes)
    after = read_policy(ground.repo, ground.base({**files, name: content + b"# more\n"}))
    assert before
    assert after
    assert before.checksum != after.checksum


def test_what_does_not_decide_on_labels_does_not_count(ground: Ground) -> None:
    more: Files = {f"{PLACE}/{CONTEXTS}.bin": "compiled", f"{PLACE}/setrans.conf": "x", f"{PLACE}/policy/policy.9": "x"}
    before = read_policy(ground.repo, ground.base(policy()))
    after = read_policy(ground.repo, ground.base({**policy(), **more}))
    assert before
    assert after
    assert before.checksum == after.checksum == policy_checksum(real_policy())


def test_a_base_without_a_policy_has_none(ground: Ground) -> None:
    assert read_policy(ground.repo, ground.base()) is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "/"),
        ("usr", "/usr"),
        ("usr/etc", "/etc"),
        ("usr/etc/shadow", "/etc/shadow"),
        ("etc/shadow", "/etc/shadow"),
        ("usr/etcetera", "/usr/etcetera"),
        ("usr/share/usr/etc/x", "/usr/share/usr/etc/x"),
    ],
)
def test_an_images_usr_etc_is_its_hosts_etc(path: str, said: str) -> None:
    assert path_in_policy(path) == said


def test_labels_depend_on_path_and_type(ground: Ground) -> None:
    found = read_policy(
        ground.repo, ground.base(policy(f"/usr/x -d {context('tmp_t')}", f"/usr/x -- {context('bin_t')}"))
    )
    labels = Labels(found)
    assert labels.label("usr/x", 0o40755) == context("tmp_t")
    assert labels.label("usr/x", REGULAR) == context("bin_t")
    assert labels.label("usr/etc/shadow", REGULAR) == context("shadow_t")
    assert labels.label("tmp/x", REGULAR) is None
    assert labels.label("lib64/libx.so.1", REGULAR) == context("lib_t")


def test_two_policies_at_once_do_not_disturb_each_other(ground: Ground) -> None:
    kinds = ("bin_t", "lib_t")
    both = [Labels(read_policy(ground.repo, ground.base(policy(f"/usr/x {context(kind)}")))) for kind in kinds]
    for _ in range(2):
        assert [labels.label("usr/x", REGULAR) for labels in both] == [context(kind) for kind in kinds]


def test_a_label_is_exchanged_and_other_attributes_stay() -> None:
    capability = (b"security.capability\0", b"\1\0")
    other = (b"user.z\0", b"z")
    attributes = GLib.Variant("a(ayay)", [other, capability])
    first = with_label(with_label(attributes, context("bin_t")), context("lib_t"))
    pairs = [(bytes(name), bytes(value)) for name, value in first.unpack()]
    assert pairs == [capability, (b"security.selinux\0", context("lib_t").encode() + b"\0"), other]
    assert label_in(first) == context("lib_t")
    assert label_in(with_label(first, None)) is None
    assert label_in(attributes) is None
