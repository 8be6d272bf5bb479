"""Records: what is stored comes back the same, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.codec import decode, decode_facts, encode
from journal.errors import JournalCorrupt
from journal.events import PAYLOADS, Fact, Payload, TransactionStarted, UnknownEvent
from tests.drafts import CONTEXT

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def record(payload: Payload, /, **changed: Any) -> str:
    encoded = encode(
        payload,
        position=7,
        event_id="e",
        transaction=3,
        transaction_uuid="u",
        recorded_at="2026-11-23T09:00:00.000000000Z",
        context=CONTEXT,
    )
    return json.dumps({**json.loads(encoded), **changed}) if changed else encoded


payloads = st.sampled_from(PAYLOADS).flatmap(
    lambda kind: st.builds(kind, **{f.name: st.from_type(f.type) for f in msgspec.structs.fields(kind)})
)
st.register_type_strategy(str, text)


@given(payloads)
def test_every_payload_survives_the_record(payload: Payload) -> None:
    event = decode(record(payload))
    assert event.payload == payload
    assert (event.position, event.transaction, event.type) == (7, 3, payload.TYPE)
    assert (event.host, event.actor, event.command_line) == (CONTEXT.host, CONTEXT.actor, CONTEXT.command_line)


@given(payloads, st.integers(1, 2))
def test_a_fact_is_the_event_without_who_where_and_when(payload: Payload, version: int) -> None:
    stored = record(payload, version=version)
    event, fact = decode(stored), next(decode_facts([stored.encode()]))
    assert all(getattr(fact, name) == getattr(event, name) for name in Fact.__struct_fields__)


@given(st.lists(st.tuples(payloads, st.sampled_from([1, 1, 1, 2])), max_size=200))
def test_many_facts_are_the_events_one_by_one(many: list[tuple[Payload, int]]) -> None:
    stored = [record(payload, version=version) for payload, version in many]
    facts = decode_facts([each.encode() for each in stored])
    assert [fact.payload for fact in facts] == [decode(each).payload for each in stored]


@pytest.mark.parametrize("wrong", ["no json", "{}", "", record(TransactionStarted("x"), payload={"verb": 1})])
def test_facts_before_a_record_that_is_none_are_given(wrong: str) -> None:
    good = record(TransactionStarted("upgrade"))
    facts = decode_facts([each.encode() for each in (good, good, wrong, good)])
    assert [next(facts).payload for _ in range(2)] == [TransactionStarted("upgrade")] * 2
    with pytest.raises(JournalCorrupt, match="Not a record"):
        next(facts)


def test_two_records_in_one_are_no_record() -> None:
    good = record(TransactionStarted("upgrade")).encode()
    with pytest.raises(JournalCorrupt, match="Not a record"):
        list(decode_facts([good, good + b"\n" + good]))


def test_an_event_of_an_unknown_type_is_kept_as_it_stands() -> None:
    stored = record(TransactionStarted("pkg-add"), type="moon-phase", payload={"phase": "full", "n": 1})
    event = decode(stored)
    assert isinstance(event.payload, UnknownEvent)
    assert json.loads(bytes(event.payload.payload)) == {"phase": "full", "n": 1}


def test_an_event_of_a_later_version_is_not_guessed_at() -> None:
    event = decode(record(TransactionStarted("pkg-add"), version=99))
    assert isinstance(event.payload, UnknownEvent)


def test_a_field_that_a_later_version_added_is_ignored() -> None:
    payload = {"verb": "pkg-add", "mood": "good"}
    assert decode(record(TransactionStarted("x"), payload=payload)).payload == TransactionStarted("pkg-add")


def test_a_payload_of_an_earlier_version_is_upcast_step_by_step() -> None:
    upcasters = {
        ("transaction-started", -1): lambda old: {"name": old["n"]},
        ("transaction-started", 0): lambda old: {"verb": old["name"]},
    }
    stored = record(TransactionStarted("x"), version=-1, payload={"n": "upgrade"})
    assert decode(stored, upcasters).payload == TransactionStarted("upgrade")


def test_a_version_without_an_upcaster_is_not_guessed_at() -> None:
    assert isinstance(decode(record(TransactionStarted("x"), version=0)).payload, UnknownEvent)


@pytest.mark.parametrize("stored", ["", "{}", "[]", '{"position": "one"}', "\x00"])
def test_what_is_no_record_is_called_corrupt(stored: str) -> None:
    with pytest.raises(JournalCorrupt):
        decode(stored)


def test_a_payload_that_belies_its_type_is_called_corrupt() -> None:
    with pytest.raises(JournalCorrupt):
        decode(record(TransactionStarted("x"), payload={"verb": 5}))
