"""Bytes of packages flipped and cut: what is imported is what the original holds, or it is refused by a reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layering.errors import ImportRefused
from layering.payload import Attributes, import_payload
from layering.rpmfile import read_rpm
from layering.scripts import Base, carried, in_order, plan_scripts
from tests.acceptance.forge import Forgery, Header, assemble
from tests.acceptance.rpms import File
from tests.layering.bases import Ground

FILES: dict[str, File | str | bytes] = {
    "/etc/fuzz.conf": File("a = 1\n", config=True),
    "/usr/bin/fuzz": File("#!/bin/sh\n", mode=0o4755, caps="cap_net_raw=ep"),
    "/usr/bin/link": File(symlink="fuzz"),
    "/usr/share/fuzz": File(directory=True, mode=0o2775, group="games"),
    "/usr/share/fuzz/a": "hardlinked\n",
    "/usr/share/fuzz/b": File(hardlink_to="/usr/share/fuzz/a"),
    "/usr/share/fuzz/ghost": File(ghost=True),
    "/var/lib/fuzz": File(directory=True),
    "/var/lib/fuzz/left out": "x\n",
}
SCRIPTS = {"%pre": "true", "%post -p /bin/true": "", "%triggerin -- bash, zsh": "true", "%filetriggerin -- /usr": "cat"}
# The same examples each time; a failure found elsewhere becomes an @example.
FUZZ = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3)

Flips = list[tuple[float, int]]


@dataclasses.dataclass(frozen=True, repr=False)
class Original:
    """A package in parts, and what is imported of it: the checksums of its tree, and what the tree can't say."""

    ground: Ground
    forgery: Forgery
    header: bytes
    payload: bytes
    imported: tuple[str, str, Attributes]

    @property
    def path(self) -> Path:
        return self.ground.directory / "fuzzed.rpm"

    def agrees(self, path: Path) -> bool:
        """Whether the package is imported as the original is; it may be refused instead."""
        try:
            return imported(self.ground, path) == self.imported
        except ImportRefused as error:
            assert str(path) in error.message or "fuzz" in error.message
            return True


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    ground = Ground(tmp_path_factory.mktemp("fuzz"))
    forgery = Forgery.of(ground.directory, "fuzz", FILES, SCRIPTS)
    path = forgery.write(ground.directory / "original.rpm")
    yield Original(ground, forgery, forgery.header.pack(), forgery.archive(), imported(ground, path))
    ground.fsck()


def imported(ground: Ground, path: Path) -> tuple[str, str, Attributes]:
    package = read_rpm(path)
    with writing(ground):
        root, attributes = import_payload(ground.repo, package)
        return root.tree_get_contents_checksum(), root.tree_get_metadata_checksum(), attributes


@contextmanager
def writing(ground: Ground) -> Iterator[None]:
    ground.repo.prepare_transaction()
    try:
        yield
        ground.repo.commit_transaction()
    except BaseException:
        ground.repo.abort_transaction()
        raise


def flipped(data: bytes, flips: Flips) -> bytes:
    changed = bytearray(data)
    for where, bits in flips:
        changed[int(where * len(changed))] ^= bits
    return bytes(changed)


@FUZZ
@given(FLIPS)
def test_a_damaged_file_is_refused_or_holds_what_it_held(original: Original, flips: Flips) -> None:
    whole = (original.ground.directory / "original.rpm").read_bytes()
    original.path.write_bytes(flipped(whole, flips))
    assert original.agrees(original.path)


@FUZZ
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(original: Original, where: float) -> None:
    whole = (original.ground.directory / "original.rpm").read_bytes()
    original.path.write_bytes(whole[: int(where * len(whole))])
    with pytest.raises(ImportRefused):
        imported(original.ground, original.path)


@FUZZ
@given(FLIPS, st.one_of(st.none(), st.floats(0, 1)))
def test_a_payload_that_is_changed_with_its_digest_is_refused_or_holds_what_it_held(
    original: Original, flips: Flips, cut: float | None
) -> None:
    payload = flipped(original.payload, flips)
    payload = payload if cut is None else payload[: int(cut * len(payload))]
    forgery = dataclasses.replace(original.forgery, payload=payload)
    assert original.agrees(forgery.write(original.path))


@FUZZ
@given(FLIPS)
def test_a_header_that_is_changed_with_its_digests_is_read_or_refused(original: Original, flips: Flips) -> None:
    header = flipped(original.header, flips)
    path = assemble(original.path, original.forgery.lead, original.forgery.signature, header, original.payload)
    try:
        package = read_rpm(path)
        with writing(original.ground):
            import_payload(original.ground.repo, package)
    except ImportRefused as error:
        assert str(path) in error.message or error.message.isprintable()
        return
    in_order([package.header])
    carried(package.header)
    plan_scripts([package.header], Base())


def test_what_is_fuzzed_is_imported_whole_when_it_is_let_be(original: Original) -> None:
    header, length = Header.parse(original.header, 63)
    assert length == len(original.header)
    assert header.pack() == original.header
    path = assemble(original.path, original.forgery.lead, original.forgery.signature, original.header, original.payload)
    assert imported(original.ground, path) == original.imported
    assert len(original.imported[2].owners) == 1
