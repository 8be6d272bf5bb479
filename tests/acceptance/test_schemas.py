"""The published JSON Schemas, against what a real host prints and records."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import Host

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text())  # type: ignore[no-any-return]


def valid(document: Any, name: str) -> bool:
    return jsonschema.Draft202012Validator(schema(name)).is_valid(document)


@pytest.mark.parametrize("name", sorted(path.stem for path in SCHEMAS.glob("*.json")))
def test_each_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_what_a_host_prints_and_records_is_as_they_say(host: Host, base: BaseTree, tmp_path: Path) -> None:
    printed = {
        "error": json.loads(host.run("show", "1", "--json", check=1).stdout),
        "dry-run": host.json("pkg-add", "foo", "--dry-run"),
        "show": host.json("pkg-add", "foo", "bar"),
        "refresh-md": host.json("refresh-md"),
        "search": host.json("search", "foo"),
    }
    host.run("pkg-add", "no-such-package", check=1)
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pin", "2")
    host.ok("undo", "2")
    host.ok("rollback", "2")
    host.ok("cleanup", "-b", "-m")
    signed = host.json("audit", "checkpoint")
    proof = tmp_path / "proof"
    proof.write_text(host.ok("audit", "prove", "--event", "1").stdout)
    host.ok("audit", "prove", "--event", "1", "--output", tmp_path)
    proved = ("--proof", proof, "--record", tmp_path / "1.record", "--key", signed["key"])
    host.admin("deploy", f"--os={host.stateroot}", f"test:{BRANCH}")
    printed |= {
        "doctor": json.loads(host.run("doctor", "--json", check=3).stdout),
        "sync": host.json("sync"),
        "status": host.json("status"),
        "history": host.json("history"),
        "diff": host.json("diff", "1", "2"),
        "blame": host.json("blame", "--as-of", "2"),
        "audit-log": host.json("audit", "log"),
        "audit-verify": host.json("audit", "verify"),
        "audit-checkpoint": signed,
        "audit-prove": host.json("audit", "prove", "2"),
        "audit-prove-from": host.json("audit", "prove", "--from", "3"),
        "audit-verify-proof": host.json("audit", "verify", *proved),
    }
    assert {*printed} == {path.stem for path in SCHEMAS.glob("*.json")} - {"event"}
    for name, document in printed.items():
        jsonschema.validate(document, schema(name), jsonschema.Draft202012Validator)
        assert document, name
    records = [json.loads(line) for line in host.ok("audit", "log").stdout.splitlines()]
    for record in records:
        jsonschema.validate(record, schema("event"), jsonschema.Draft202012Validator)
    assert len({record["type"] for record in records}) > 9


def test_a_document_that_lost_a_key_or_changed_a_type_is_not(host: Host) -> None:
    status = host.json("status")
    assert valid(status, "status")
    lost, changed = copy.deepcopy(status), copy.deepcopy(status)
    del lost["deployments"][0]["absorbed"]
    changed["deployments"][0]["booted"] = "no"
    assert not valid(lost, "status")
    assert not valid(changed, "status")


def test_a_record_whose_payload_is_not_of_its_type_is_not(host: Host) -> None:
    host.ok("sync")
    record = json.loads(host.ok("audit", "log").stdout.splitlines()[0])
    assert valid(record, "event")
    assert not valid({**record, "payload": {}}, "event")
    assert valid({**record, "type": "of-a-later-version", "payload": {}}, "event")
