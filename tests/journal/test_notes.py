"""Signed notes against C2SP's own example, and against everything that a note must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.errors import NoteMalformed, NoteNotSigned
from journal.notes import Note, SignerKey, VerifierKey, parse_note, parse_signer_key, parse_verifier_key

# The example of C2SP signed-note's reference implementation (Go's sumdb/note).
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
TEXT = "This is an example message.\n"
LINE = (
    "\u2014 example.com/foo"
    " Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
EXAMPLE = f"{TEXT}\n{LINE}"

names = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="+"), min_size=1)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C",), include_characters="\n")).map("{}\n".format)


def test_the_example_of_the_specification_is_accepted() -> None:
    note = parse_note(EXAMPLE)
    assert note.text == TEXT
    assert note.signed_by(parse_verifier_key(VKEY))
    assert str(note) == EXAMPLE
    assert str(parse_verifier_key(VKEY)) == VKEY


@pytest.mark.parametrize("number", range(len(EXAMPLE.encode())))
def test_the_example_with_any_byte_changed_is_refused(number: int) -> None:
    changed = bytearray(EXAMPLE.encode())
    changed[number] ^= 1
    try:
        accepted = parse_note(changed.decode()).signed_by(parse_verifier_key(VKEY))
    except (NoteMalformed, NoteNotSigned, UnicodeDecodeError):
        accepted = False
    assert not accepted


@given(names, texts, st.binary(min_size=32, max_size=32))
def test_what_a_key_signed_is_read_back_and_verified(name: str, text: str, seed: bytes) -> None:
    key = SignerKey(name, seed)
    note = parse_note(str(key.sign(text)))
    assert note.text == text
    assert note.signed_by(key.verifier)
    assert not note.signed_by(parse_verifier_key(VKEY))
    again = parse_signer_key(key.written())
    assert (again.name, again.verifier) == (key.name, key.verifier)


def test_signatures_of_unknown_keys_are_left_alone_and_kept() -> None:
    ours = SignerKey("log", bytes(32)).sign(TEXT)
    both = Note(TEXT, (*parse_note(EXAMPLE).signatures, *ours.signatures))
    assert parse_note(str(both)) == both
    assert both.signed_by(parse_verifier_key(VKEY))
    assert not both.signed_by(SignerKey("log", bytes([1] * 32)).verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT,
        LINE,
        f"{TEXT}{LINE}",
        EXAMPLE[:-1],
        EXAMPLE + "\n",
        EXAMPLE + "x\n",
        EXAMPLE.replace("\u2014", "-"),
        EXAMPLE.replace("example.com/foo ", "a b "),
        EXAMPLE.replace("example.com/foo ", "a+b "),
        EXAMPLE.replace("message", "mess\tage"),
        f"{TEXT}\n\u2014 example.com/foo Uw2QOg==\n",
        f"{TEXT}\n" + LINE * 100,
    ],
)
def test_what_is_no_signed_note_is_refused(text: str) -> None:
    with pytest.raises(NoteMalformed):
        parse_note(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "foo+bar",
        "foo+00000000+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        VKEY.replace("foo", "bar"),
        VKEY[:-1],
        "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "PRIVATE+KEY+" + VKEY,
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteMalformed):
        parse_verifier_key(text)


def test_a_key_of_an_algorithm_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(NoteMalformed, match="0x06"):
        parse_verifier_key(str(VerifierKey("post.example", 0x06, bytes(1312))))
