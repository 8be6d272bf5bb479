"""The signed head: made with each append once there is a key, kept, proved from, and cosigned by witnesses."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from journal import errors, heads, keys, witness
from journal.checkpoints import Checkpoint, parse_checkpoint
from journal.events import TransactionStarted, TransactionUnchanged
from journal.notes import SignerKey, VerifierKey, parse_verifier_key
from journal.schema import migrate
from journal.store import SCHEMA_VERSION, Journal
from tests import independent_verifier
from tests.drafts import DraftMaker
from tests.witness import Witness

Append = Callable[[], None]


@pytest.fixture
def append(journal: Journal, draft: DraftMaker) -> Append:
    """Appends a transaction of two events."""

    def call() -> None:
        uuid = draft.uuid()
        journal.append([draft(uuid, TransactionStarted("upgrade"))])
        journal.append([draft(uuid, TransactionUnchanged("No change."))])

    return call


def key_of(journal: Journal) -> VerifierKey:
    return heads.verifier_of(journal)


def test_the_key_is_made_on_first_use_for_root_alone(journal: Journal, path: Path, append: Append) -> None:
    append()
    assert sorted(each.name for each in path.parent.iterdir()) == ["journal.db"]
    heads.sign_head(journal)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"journal.db": 0o644, "signing.key": 0o600, "signing.vkey": 0o644, "checkpoint": 0o644}


def test_the_key_is_never_readable_by_others_whatever_the_umask(path: Path, journal: Journal, append: Append) -> None:
    append()
    before = os.umask(0)
    try:
        keys.make_signer(path, journal.origin or "")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.with_name("signing.key").stat().st_mode) == 0o600


def test_who_comes_second_uses_the_key_of_the_first(path: Path, journal: Journal, append: Append) -> None:
    append()
    first = keys.make_signer(path, journal.origin or "")
    assert keys.make_signer(path, journal.origin or "").verifier == first.verifier


def test_a_head_that_is_signed_already_is_given_again_and_kept_once(journal: Journal, append: Append) -> None:
    append()
    first = heads.sign_head(journal)
    assert heads.sign_head(journal) == first
    assert list(journal.checkpoints()) == [str(first)]


def test_without_a_key_nothing_is_signed(journal: Journal, append: Append) -> None:
    append()
    assert journal.head() is None
    assert list(journal.checkpoints()) == []


def test_with_a_key_each_append_signs_the_new_head(journal: Journal, append: Append) -> None:
    append()
    heads.sign_head(journal)
    append()
    head = parse_checkpoint(journal.head() or "")
    assert (head.size, head.root) == (4, journal.root_hash)
    assert head.note.signed_by(key_of(journal))


def test_a_key_of_another_log_signs_nothing_here(journal: Journal, path: Path, append: Append) -> None:
    keys.make_signer(path, "layer/another")
    append()
    assert journal.head() is None
    with pytest.raises(errors.KeyUnusable, match="layer/another"):
        heads.sign_head(journal)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PRIVATE+KEY+x+00000000+AAAA", b"\xff\xfe"])
def test_a_damaged_key_stops_what_would_sign_with_it(
    journal: Journal, path: Path, append: Append, content: bytes
) -> None:
    path.with_name("signing.key").write_bytes(content)
    with pytest.raises(errors.KeyUnusable, match=str(path.with_name("signing.key"))):
        append()
    assert journal.position == 0


def test_heads_are_kept_more_sparsely_as_the_history_grows(journal: Journal, append: Append) -> None:
    append()
    heads.sign_head(journal)
    for _ in range(300):
        append()
    sizes = [parse_checkpoint(note).size for note in journal.checkpoints()]
    assert sizes == sorted(set(sizes))
    assert all(later - earlier <= later // 64 + 1 for earlier, later in pairwise(sizes))
    assert len(sizes) < 250  # of 600 appends


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM checkpoints",
        "INSERT OR REPLACE INTO checkpoints (number, note) VALUES (1, 'x')",
        "UPDATE checkpoints SET size = 7",
    ],
)
def test_the_schema_refuses_to_change_a_head_that_was_kept(
    journal: Journal, path: Path, append: Append, statement: str
) -> None:
    append()
    heads.sign_head(journal)
    before = list(journal.checkpoints())
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute(statement)
    assert list(journal.checkpoints()) == before


# Journals of the schema before


@pytest.fixture
def old_journal(path: Path) -> Path:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, 1)
    return path


def test_a_journal_of_the_first_schema_is_read_as_it_is(old_journal: Path) -> None:
    journal = Journal.open(old_journal)
    assert (journal.schema_version, journal.position, journal.head(), list(journal.checkpoints())) == (1, 0, None, [])
    assert journal.checkpoint_covering(1) is None


def test_a_journal_of_the_first_schema_is_brought_up_by_the_next_append(old_journal: Path, draft: DraftMaker) -> None:
    journal = Journal.open_for_append(old_journal)
    journal.append([draft(draft.uuid(), TransactionStarted("upgrade"))])
    assert journal.schema_version == SCHEMA_VERSION
    assert heads.sign_head(journal).size == 1
    journal.close()


# Checkpoints kept earlier


def test_a_journal_goes_on_from_every_head_it_had(journal: Journal, append: Append) -> None:
    kept = []
    for _ in range(9):
        append()
        kept.append(heads.sign_head(journal))
    for checkpoint in kept:
        heads.check_kept(journal, checkpoint, key_of(journal))


def test_what_is_wrong_with_a_kept_checkpoint_is_told_apart(journal: Journal, path: Path, append: Append) -> None:
    for _ in range(3):
        append()
    good = heads.sign_head(journal)
    key, signer = key_of(journal), keys.load_signer(path)
    assert signer

    def signed(origin: str, size: int, root: bytes, by: SignerKey = signer) -> Checkpoint:
        from journal.checkpoints import text_of

        return parse_checkpoint(str(by.sign(text_of(origin, size, root))))

    stranger = SignerKey(good.origin, bytes(32))
    for wrong, error in (
        (signed("layer/another", 3, good.root), errors.AnotherLog),
        (signed(good.origin, 3, good.root, stranger), errors.NoteNotSigned),
        (signed(good.origin, 7, good.root), errors.HistoryTruncated),
        (signed(good.origin, 6, bytes(32)), errors.AnotherHistory),
        (signed(good.origin, 5, bytes(32)), errors.AnotherHistory),
        (signed(good.origin, 0, bytes(32)), errors.AnotherHistory),
    ):
        with pytest.raises(error):
            heads.check_kept(journal, wrong, key)
    heads.check_kept(journal, good, key)


@pytest.mark.parametrize(
    "text",
    ["", "a\n1\n", "a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n", "\n1\nAAAA\n", "a\n1\n" + "A" * 44 + "\n"],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(errors.NoteMalformed):
        parse_checkpoint(str(SignerKey("a", bytes(32)).sign(text)))


# Proofs, by a verifier that shares no code with the journal's


def test_every_event_is_proved_to_a_stranger(journal: Journal, append: Append) -> None:
    for _ in range(11):
        append()
        heads.sign_head(journal)
    vkey = str(key_of(journal))
    for position, record in journal.records():
        proof = heads.prove(journal, position)
        assert independent_verifier.accepts("inclusion", vkey, str(proof).encode(), record.encode())
        proof.check(record.encode(), key_of(journal))


def test_every_step_of_the_history_is_proved_to_a_stranger(journal: Journal, append: Append) -> None:
    kept = []
    for _ in range(11):
        append()
        kept.append(heads.sign_head(journal))
    for old in kept:
        proof = heads.prove_from(journal, old.size)
        assert independent_verifier.accepts("consistency", str(key_of(journal)), str(proof).encode(), str(old).encode())
        proof.check(old, key_of(journal))


def one_byte_off(content: bytes) -> Iterator[bytes]:
    for number in range(len(content)):
        for value in (content[number] ^ 1, content[number] ^ 0x80):
            yield content[:number] + bytes([value]) + content[number + 1 :]


def test_a_stranger_refuses_proof_record_and_checkpoint_with_any_byte_altered(
    journal: Journal, append: Append, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        append()
    old = str(heads.sign_head(journal)).encode()
    append()
    heads.sign_head(journal)
    vkey = str(key_of(journal))
    (_, record), *_ = journal.records(6, 7)
    accepts = independent_verifier.accepts
    inclusion, consistency = str(heads.prove(journal, 7)).encode(), str(heads.prove_from(journal, 10)).encode()
    assert accepts("inclusion", vkey, inclusion, record.encode())
    assert accepts("consistency", vkey, consistency, old)
    for altered in one_byte_off(inclusion):
        assert not accepts("inclusion", vkey, altered, record.encode()), altered
    for altered in one_byte_off(record.encode()):
        assert not accepts("inclusion", vkey, inclusion, altered), altered
    for altered in one_byte_off(consistency):
        assert not accepts("consistency", vkey, altered, old), altered
    for altered in one_byte_off(old):
        assert not accepts("consistency", vkey, consistency, altered), altered
    capsys.readouterr()


# Witnesses


@pytest.fixture
def stock_witness(journal: Journal, append: Append) -> Iterator[tuple[Witness, str, VerifierKey]]:
    """A witness that knows the log, its address and its key."""
    append()
    heads.sign_head(journal)
    running = Witness()
    running.logs[journal.origin or ""] = str(key_of(journal))
    with running.serving() as url:
        yield running, url, parse_verifier_key(running.vkey)


Stock = tuple[Witness, str, VerifierKey]


def test_a_witness_cosigns_every_head_and_is_asked_from_where_it_was(
    journal: Journal, append: Append, stock_witness: Stock
) -> None:
    running, url, key = stock_witness
    for number in range(4):
        checkpoint = witness.cosigned(journal, url, heads.sign_head(journal), [key])
        heads.keep(journal, checkpoint)
        assert checkpoint.note.signed_by(key)
        assert checkpoint.note.signed_by(key_of(journal))
        assert running.cosigned[checkpoint.origin] == (checkpoint.size, checkpoint.root)
        assert heads.prove(journal, 1).checkpoint == checkpoint
        assert len(running.requests) == number + 1
        append()


def test_a_witness_that_remembers_more_than_was_kept_is_asked_again(
    journal: Journal, append: Append, stock_witness: Stock
) -> None:
    running, url, key = stock_witness
    witness.cosigned(journal, url, heads.sign_head(journal), [key])  # and not kept
    append()
    checkpoint = witness.cosigned(journal, url, heads.sign_head(journal), [key])
    assert checkpoint.note.signed_by(key)
    assert [request.split("\n")[0] for request in running.requests] == ["old 0", "old 0", "old 2"]


def test_a_witness_that_saw_a_longer_log_tells_of_the_truncation(
    journal: Journal, append: Append, stock_witness: Stock
) -> None:
    running, url, key = stock_witness
    checkpoint = heads.sign_head(journal)
    running.cosigned[checkpoint.origin] = 40, bytes(32)
    with pytest.raises(errors.HistoryTruncated, match="40 events"):
        witness.cosigned(journal, url, checkpoint, [key])


@pytest.mark.parametrize("size", [1, 2])
def test_a_witness_that_saw_another_history_tells_of_it(
    journal: Journal, append: Append, stock_witness: Stock, size: int
) -> None:
    running, url, key = stock_witness
    checkpoint = heads.sign_head(journal)
    running.cosigned[checkpoint.origin] = size, bytes(32)
    with pytest.raises(errors.AnotherHistory):
        witness.cosigned(journal, url, checkpoint, [key])


@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "does not trust the key"), (404, "does not know the log"), (400, "status 400"), (599, "status 599")],
)
def test_what_a_witness_refuses_is_told(journal: Journal, stock_witness: Stock, status: int, told: str) -> None:
    running, url, key = stock_witness
    running.answer_with = status, b""
    with pytest.raises(errors.WitnessFailed, match=told):
        witness.cosigned(journal, url, heads.sign_head(journal), [key])


def test_a_witness_that_does_not_know_the_log_or_its_key_says_so(journal: Journal, stock_witness: Stock) -> None:
    running, url, key = stock_witness
    checkpoint = heads.sign_head(journal)
    running.logs[checkpoint.origin] = str(SignerKey(checkpoint.origin, bytes(32)).verifier)
    with pytest.raises(errors.WitnessFailed, match="does not trust"):
        witness.cosigned(journal, url, checkpoint, [key])
    running.logs.clear()
    with pytest.raises(errors.WitnessFailed, match="does not know"):
        witness.cosigned(journal, url, checkpoint, [key])


@pytest.mark.parametrize("answer", [b"", b"rubbish", b"\xff\xfe\n", "\u2014 a b\n".encode(), bytes(100_000)])
def test_an_answer_that_is_no_cosignature_is_refused(journal: Journal, stock_witness: Stock, answer: bytes) -> None:
    running, url, key = stock_witness
    running.answer_with = 200, answer
    with pytest.raises(errors.WitnessFailed, match="no cosignature"):
        witness.cosigned(journal, url, heads.sign_head(journal), [key])


def test_a_cosignature_by_another_key_or_of_another_checkpoint_is_refused(
    journal: Journal, stock_witness: Stock
) -> None:
    running, url, key = stock_witness
    checkpoint = heads.sign_head(journal)
    running.answer_with = 200, Witness().cosign(str(checkpoint)).encode()
    with pytest.raises(errors.WitnessFailed, match="did not cosign"):
        witness.cosigned(journal, url, checkpoint, [key])
    running.answer_with = 200, running.cosign(str(checkpoint).replace("\n2\n", "\n3\n")).encode()
    with pytest.raises(errors.NoteNotSigned):
        witness.cosigned(journal, url, checkpoint, [key])


@pytest.mark.parametrize("answer", [b"", b"many\n", b"-3\n", b"9" * 50])
def test_a_witness_that_does_not_say_which_size_it_knows_is_refused(
    journal: Journal, stock_witness: Stock, answer: bytes
) -> None:
    running, url, key = stock_witness
    running.answer_with = 409, answer
    with pytest.raises(errors.WitnessFailed, match="which size"):
        witness.cosigned(journal, url, heads.sign_head(journal), [key])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/nothing-listens-here", "file:///etc/passwd", "nonsense"])
def test_a_witness_that_cannot_be_reached_is_named(journal: Journal, append: Append, url: str) -> None:
    append()
    with pytest.raises(errors.WitnessFailed, match=url):
        witness.cosigned(journal, url, heads.sign_head(journal), [])
