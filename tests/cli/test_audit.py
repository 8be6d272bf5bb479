"""The audit desk as auditors call it: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from journal.events import TransactionCommitted, TransactionStarted
from journal.store import SCHEMA_VERSION, Journal
from tests.drafts import DraftMaker
from tests.witness import Witness

VERIFIER = Path(__file__).parents[1] / "independent_verifier.py"


class Desk:
    """A journal of three transactions, and `layer audit` on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = DraftMaker()
        for _ in range(3):
            self.append()

    def append(self) -> None:
        journal = Journal.open_for_append(self.path)
        uuid = self._draft.uuid()
        journal.append([self._draft(uuid, TransactionStarted("upgrade")), self._draft(uuid, TransactionCommitted())])
        journal.update_search()
        journal.close()

    def run(self, *words: object, check: int = 0, journal: Path | None = None) -> subprocess.CompletedProcess[str]:
        layer = [str(Path(sys.executable).with_name("layer")), "audit", "--journal", str(journal or self.path)]
        done = subprocess.run([*layer, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == check, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        return done

    def tamper(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(statement)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "layer/journal.db")


def files(directory: Path) -> dict[str, tuple[int, int, int]]:
    """What is in a directory, so that nothing that is written there goes unnoticed."""
    status = {each.name: each.stat() for each in directory.iterdir()}
    return {name: (each.st_ino, each.st_size, each.st_mtime_ns) for name, each in status.items()}


def test_a_damaged_key_beside_the_journal_is_a_finding_and_one_that_is_given_is_bad_input(
    desk: Desk, tmp_path: Path
) -> None:
    desk.run("checkpoint")
    sound, damaged = tmp_path / "sound", desk.path.with_name("signing.vkey")
    sound.write_bytes(damaged.read_bytes())
    damaged.write_text("rubbish")
    assert desk.run("verify", check=3).stdout.startswith("key-unusable: ")
    (found,) = json.loads(desk.run("verify", "--json", check=3).stdout)["findings"]
    assert found["kind"] == "key-unusable"
    desk.run("verify", "--key", sound)
    assert desk.run("verify", "--key", damaged, check=1).stdout == ""


def test_no_name_in_the_file_steers_the_terminal_or_adds_lines(desk: Desk) -> None:
    desk.tamper('CREATE TABLE "evil\x1b[2J\nAll is well" (x)')
    lines = desk.run("verify", check=3).stdout.splitlines()
    assert "schema: The table evil\\x1b[2J\\nAll is well is none of layer's" in lines
    assert not [line for line in lines if line.startswith("All")]


def test_verify_says_that_all_is_well_and_writes_nothing(desk: Desk) -> None:
    before = files(desk.path.parent)
    assert "All is well: 6 events" in desk.run("verify").stdout
    report = json.loads(desk.run("verify", "--json").stdout)
    assert report["findings"] == []
    assert report["root_hash"] == Journal.open(desk.path).root_hash.hex()
    assert files(desk.path.parent) == before


def test_verify_names_what_is_wrong_and_exits_with_3(desk: Desk) -> None:
    desk.tamper("UPDATE events SET record = replace(record, 'strace', 'nmap') WHERE position = 3")
    told = desk.run("verify", check=3).stdout
    assert "altered: The record of event 3 is not the one that was hashed (transaction 2)" in told
    assert "schema: The trigger events_no_update is gone" in told
    report = json.loads(desk.run("verify", "--json", check=3).stdout)
    assert {"kind": "altered", "position": 3, "transaction": 2} in [
        {key: each[key] for key in ("kind", "position", "transaction")} for each in report["findings"]
    ]


def test_a_checkpoint_is_printed_kept_and_checked(desk: Desk, tmp_path: Path) -> None:
    desk.run("checkpoint", "--print-key", check=1)
    old = desk.run("checkpoint").stdout
    assert old.split("\n")[0].startswith("layer/")
    assert old.split("\n")[1] == "6"
    assert desk.run("checkpoint").stdout == old
    assert stat.S_IMODE(desk.path.with_name("signing.key").stat().st_mode) == 0o600
    desk.append()
    (tmp_path / "old").write_text(old)
    assert "6 events then, 8 now" in desk.run("checkpoint", "--check", tmp_path / "old").stdout
    assert "All is well" in desk.run("verify", "--checkpoint", tmp_path / "old").stdout
    key = desk.run("checkpoint", "--print-key").stdout.strip()
    assert key == desk.path.with_name("signing.vkey").read_text().strip()


def test_checkpoints_and_proofs_are_told_as_json_too(desk: Desk, tmp_path: Path) -> None:
    """Regression: `verify --proof`, `prove --from` and `prove --output` printed text in spite of --json."""

    def told(*words: object, check: int = 0) -> Any:
        return json.loads(desk.run(*words, "--json", check=check).stdout)

    first = told("checkpoint")
    assert first["checkpoint"].split("\n")[:2] == [first["origin"], "6"]
    assert b64decode(first["checkpoint"].split("\n")[2]).hex() == first["root_hash"]
    assert (first["events"], first["old"]) == (6, None)
    (tmp_path / "old").write_text(first["checkpoint"])
    desk.append()
    held = told("checkpoint", "--check", tmp_path / "old")
    assert (held["events"], held["old"], held["checkpoint"]) == (8, 6, None)
    assert held["root_hash"] != first["root_hash"]
    assert (
        told("checkpoint", "--print-key")["key"]
        == first["key"]
        == desk.path.with_name("signing.vkey").read_text().strip()
    )
    other = Desk(tmp_path / "other/journal.db")
    others = other.run("checkpoint").stdout and other.path.with_name("signing.vkey")
    signed = told("checkpoint", "--key", others)
    assert (signed["origin"], signed["key"]) == (first["origin"], first["key"])
    extension = told("prove", "--from", tmp_path / "old")
    assert (extension["old"], extension["events"]) == (6, 8)
    assert extension["proof"] == desk.run("prove", "--from", "6").stdout
    (tmp_path / "extension").write_text(extension["proof"])
    proof = ("--proof", tmp_path / "extension", "--checkpoint", tmp_path / "old", "--key", first["key"])
    assert told("verify", *proof) == {"origin": first["origin"], "events": 8, "position": None, "old": 6}
    assert [each["position"] for each in told("prove", "4", "--output", tmp_path)] == [7, 8]
    proof = ("--proof", tmp_path / "8.tlog-proof", "--record", tmp_path / "8.record", "--key", first["key"])
    assert told("verify", *proof) == {"origin": first["origin"], "events": 8, "position": 8, "old": None}
    (tmp_path / "8.record").write_text("{}")
    assert told("verify", *proof, check=3)["error"]["kind"] == "proof-refused"


def test_a_journal_that_does_not_go_on_from_a_kept_checkpoint_is_told_with_exit_code_3(
    desk: Desk, tmp_path: Path
) -> None:
    desk.run("checkpoint")
    desk.append()
    (tmp_path / "new").write_text(desk.run("checkpoint").stdout)
    other = Desk(tmp_path / "other/journal.db")
    (tmp_path / "others").write_text(other.run("checkpoint").stdout)
    (tmp_path / "forged").write_text((tmp_path / "new").read_text().replace("\n8\n", "\n4\n"))
    desk.tamper("DELETE FROM events WHERE position > 6")
    for name, told in (("new", "has 6"), ("others", "of the log"), ("forged", "does not fit what is signed")):
        assert told in desk.run("checkpoint", "--check", tmp_path / name, check=3).stderr
    desk.run("verify", "--checkpoint", tmp_path / "new", check=3)


def test_a_stranger_checks_what_was_proved(desk: Desk, tmp_path: Path) -> None:
    old = desk.run("checkpoint").stdout
    (tmp_path / "old").write_text(old)
    desk.append()
    out = tmp_path / "proofs"
    printed = desk.run("prove", "4", "--output", out).stdout.split()
    assert printed == [str(out / "7.tlog-proof"), str(out / "8.tlog-proof")]
    (tmp_path / "consistency").write_text(desk.run("prove", "--from", tmp_path / "old").stdout)
    vkey = desk.run("checkpoint", "--print-key").stdout.strip()
    for kind, proof, other in (
        ("inclusion", out / "7.tlog-proof", out / "7.record"),
        ("consistency", tmp_path / "consistency", tmp_path / "old"),
    ):
        command = [sys.executable, "-I", str(VERIFIER), kind, vkey, str(proof), str(other)]
        assert subprocess.run(command, check=False).returncode == 0
        flag = "--record" if kind == "inclusion" else "--checkpoint"
        desk.run("verify", "--proof", proof, flag, other, "--key", vkey, journal=tmp_path / "none")
    assert desk.run("prove", "--event", "7").stdout == (out / "7.tlog-proof").read_text()
    (proved,) = json.loads(desk.run("prove", "--event", "7", "--json").stdout)
    assert proved["record"] == (out / "7.record").read_text()


def test_a_proof_for_another_log_or_another_record_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.run("checkpoint")
    other = Desk(tmp_path / "other/journal.db")
    other.run("checkpoint")
    desk.run("prove", "1", "--output", tmp_path)
    key, others = (each.path.with_name("signing.vkey") for each in (desk, other))
    proof = ("verify", "--proof", tmp_path / "1.tlog-proof")
    assert "of the log" in desk.run(*proof, "--record", tmp_path / "1.record", "--key", others, check=3).stderr
    assert "not event 1" in desk.run(*proof, "--record", tmp_path / "2.record", "--key", key, check=3).stderr
    desk.run(*proof, "--record", tmp_path / "1.record", check=2)
    desk.run(*proof, "--key", key, check=2)
    assert (
        "not a proof"
        in desk.run(
            "verify", "--proof", desk.path.with_name("checkpoint"), "--record", key, "--key", key, check=1
        ).stderr.lower()
    )


def test_several_proofs_in_one_file_are_said_to_be_several(desk: Desk, tmp_path: Path) -> None:
    desk.run("checkpoint")
    (tmp_path / "all").write_text(desk.run("prove", "1").stdout)
    desk.run("prove", "1", "--output", tmp_path)
    key = desk.path.with_name("signing.vkey")
    refused = desk.run("verify", "--proof", tmp_path / "all", "--record", tmp_path / "1.record", "--key", key, check=1)
    assert "all: Several proofs" in refused.stderr
    assert "--output DIR" in refused.stderr


@pytest.fixture
def witness(desk: Desk) -> Iterator[tuple[Witness, str]]:
    running = Witness()
    vkey = desk.run("checkpoint").stdout and desk.run("checkpoint", "--print-key").stdout.strip()
    running.logs[vkey.split("+")[0]] = vkey
    with running.serving() as url:
        yield running, url


def test_a_witness_cosigns_the_checkpoint(desk: Desk, witness: tuple[Witness, str], tmp_path: Path) -> None:
    running, url = witness
    told = desk.run("checkpoint", "--witness", url, "--witness-key", running.vkey).stdout
    assert f"\u2014 {running.name} " in told
    assert desk.path.with_name("checkpoint").read_text() == told
    desk.run("prove", "1", "--output", tmp_path)
    proof = ("verify", "--proof", tmp_path / "1.tlog-proof", "--record", tmp_path / "1.record")
    key = ("--key", desk.path.with_name("signing.vkey"))
    desk.run(*proof, *key, "--witness-key", running.vkey)
    assert "did not cosign" in desk.run(*proof, *key, "--witness-key", Witness("other").vkey, check=3).stderr
    desk.run("verify")


def test_a_witness_that_refuses_is_told_and_the_checkpoint_is_printed_all_the_same(
    desk: Desk, witness: tuple[Witness, str]
) -> None:
    running, url = witness
    running.answer_with = 403, b""
    done = desk.run("checkpoint", "--witness", url, "--witness-key", running.vkey, check=1)
    assert "does not trust" in done.stderr
    assert done.stdout.startswith("layer/")
    running.answer_with = 409, b"70\n"
    assert "70 events" in desk.run("checkpoint", "--witness", url, "--witness-key", running.vkey, check=3).stderr
    desk.run("checkpoint", "--witness", url, check=2)


# Bad input


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("prove", "99"), 1, "No transaction 99"),
        (("prove", "0"), 1, "No transaction 0"),
        (("prove", "yesterday"), 2, "is no transaction"),
        (("prove", "--event", "99"), 1, "No event 99"),
        (("prove", "--event", "0"), 1, "No event 0"),
        (("prove", "--from", "99"), 1, "99 events"),
        (("prove", "--from", "0"), 1, "0 events"),
        (("prove", "--from", "/nowhere"), 1, "/nowhere"),
        (("prove", "1"), 1, "No signed head"),
        (("prove",), 2, "Say a transaction"),
        (("checkpoint", "--check", "/nowhere"), 1, "/nowhere"),
        (("checkpoint", "--check", "/etc/hostname"), 1, "/etc/hostname"),
        (("verify", "--key", "rubbish"), 1, "rubbish"),
        (("verify", "--checkpoint", "/nowhere"), 1, "/nowhere"),
        (("verify", "--record", "x"), 2, "--proof"),
        (("verify", "--proof", ""), 2, "--key"),
        (("verify", "--key", ""), 2, "it is empty"),
        (("checkpoint", "--check", ""), 1, "can't be read"),
        (("log", "--since", ""), 2, "'' is no time"),
        (("log", "--until", "@99999999999999999999"), 2, "is no time"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(
    desk: Desk, words: tuple[str, ...], code: int, told: str
) -> None:
    before = files(desk.path.parent)
    assert told in desk.run(*words, check=code).stderr
    assert files(desk.path.parent) == before


@pytest.mark.parametrize("words", [("verify",), ("checkpoint",), ("prove", "1")])
@pytest.mark.parametrize("kind", ["missing", "foreign", "later", "rubbish", "empty", "directory"])
def test_what_is_no_journal_is_told_and_left_alone(
    desk: Desk, tmp_path: Path, words: tuple[str, ...], kind: str
) -> None:
    path = tmp_path / "there/other.db"
    path.parent.mkdir()
    told = {"missing": "No journal", "foreign": "not a journal", "later": "schema version", "empty": "not a journal"}
    told["directory"] = "is a directory"
    if kind == "foreign":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE events (record)")
    elif kind == "later":
        path.write_bytes(desk.path.read_bytes())
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    elif kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(os.urandom(9000) if kind == "rubbish" else b"")
    before = files(path.parent)
    assert told.get(kind, "corrupt") in desk.run(*words, check=1, journal=path).stderr
    assert files(path.parent) == before


def test_whoever_may_only_read_verifies_proves_and_is_given_the_signed_head() -> None:
    layer = str(Path(sys.executable).with_name("layer"))
    reader = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", layer]
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        desk = Desk(Path(name, "layer/journal.db"))
        head = desk.run("checkpoint").stdout
        before = files(desk.path.parent)
        for words, told in ((("verify",), "All is well"), (("prove", "1"), "tlog-proof"), (("checkpoint",), head)):
            command = [*reader, "audit", "--journal", str(desk.path), *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert told in done.stdout, done.stderr
        assert files(desk.path.parent) == before


def test_a_journal_that_belongs_to_others_is_told_and_a_hint_given() -> None:
    layer = str(Path(sys.executable).with_name("layer"))
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name, "ostree/repo").mkdir(parents=True)
        Path(name).chmod(0o755)
        desk = Desk(Path(name, "ostree/deploy/os/var/lib/layer/journal.db"))
        desk.path.chmod(0o600)
        for words in (("history",), ("audit", "verify")):
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", layer, "--sysroot", name, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"The journal {desk.path} is not readable\nhint: Run the command as root." in done.stderr


def test_what_a_crash_left_half_written_is_told_to_readers_and_taken_back_for_root() -> None:
    with TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        desk, crashed = Desk(Path(name, "layer/journal.db")), Path(name, "crashed/journal.db")
        crashed.parent.mkdir()
        with closing(sqlite3.connect(desk.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA cache_size = 1")  # what does not fit is on the disk before it is committed
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO snapshots SELECT 'other', value, hex(randomblob(4000)) FROM json_each('[1,2,3]')"
            )
            for each in (desk.path, desk.path.with_name("journal.db-journal")):
                (crashed.parent / each.name).write_bytes(each.read_bytes())
        layer = str(Path(sys.executable).with_name("layer"))
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", layer, "audit"]
        for words, told in ((("log",), "run as root"), (("verify",), "run as root")):
            done = subprocess.run(
                [*command, "--journal", str(crashed), *words], capture_output=True, text=True, check=False
            )
            assert done.returncode == 1
            assert told in done.stderr
        assert "All is well: 6 events" in desk.run("verify", journal=crashed).stdout
        subprocess.run([*command, "--journal", str(crashed), "verify"], capture_output=True, check=True)
