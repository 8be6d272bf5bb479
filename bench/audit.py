"""What the history and its proofs cost on a long journal, each beside a peer in the same run.

    .venv/bin/python -m bench.audit [--directory DIR] [--repeat N] [--events N]

The journal is made by `Journal.append` itself, with a signed head for each append, heads kept and snapshots taken as in
use; it takes some minutes. The peers: a loop that reads every record, hashes it and builds the root; an INSERT of the
same record into the same table with the same indexes, as durable; a bare start of Python; and `dnf history list` on as
many transactions, written by libdnf's own API.
"""

from __future__ import annotations

import gc
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from bench.long_journal import make_journal
from bench.measuring import in_directory, seconds
from journal.events import TransactionRefused, TransactionStarted
from journal.store import KEPT_FRACTION, Journal
from layering.verification import verify
from projections import points
from tests.drafts import DraftMaker

EVENTS = 1_000_000
APPENDS = 200
INSTANTS = 200
DNF_TRANSACTIONS = 10_000
INSERT = "INSERT INTO events (record) VALUES (?)"
LAYER = str(Path(sys.executable).with_name("layer"))

# libdnf's Python binding is the distribution's, and so is its interpreter.
MAKE_DNF_HISTORY = """
import sys
import libdnf.transaction as t
swdb = t.Swdb(sys.argv[1])
for i in range(int(sys.argv[2])):
    swdb.initTransaction()
    item = swdb.createRPMItem()
    item.setName(f"package-{i % 40}"); item.setEpoch(0); item.setVersion(str(i)); item.setRelease("1")
    item.setArch("x86_64")
    change = swdb.addItem(item, "updates", t.TransactionItemAction_INSTALL, t.TransactionItemReason_USER)
    change.setState(t.TransactionItemState_DONE)
    swdb.beginTransaction(1700000000 + i, "1:a", f"install package-{i % 40}", 0, "")
    swdb.setReleasever("40")
    swdb.endTransaction(1700000001 + i, "2:a", t.TransactionState_DONE)
    swdb.closeTransaction()
"""
DNF = "import sys; from dnf.cli import main; sys.exit(main.main(sys.argv[1:]))"


def main() -> None:
    with in_directory(__doc__, events=EVENTS) as (work, given):
        run(work, given.repeat, given.events)


def run(work: Path, repeat: int, events: int) -> None:
    gc.set_threshold(100_000, 20, 20)  # as `cli.main` has it
    long, short = sysroot(work / "long"), sysroot(work / "short")
    make_journal(long, events)
    make_journal(short, transactions=DNF_TRANSACTIONS)
    print(f"{'':44}{'layer':>10}{'peer':>10}{'ratio':>8}{'bar':>8}")
    measure_verify(long, repeat)
    measure_append(work / "peer.db", long)
    measure_as_of(long)
    measure_history(work, repeat)


def sysroot(path: Path) -> Path:
    """The journal's place in a sysroot without a host: reading needs none."""
    (path / "ostree/repo").mkdir(parents=True)
    return path / "ostree/deploy/os/var/lib/layer/journal.db"


def measure_verify(path: Path, repeat: int) -> None:
    ours, peers = [], []
    for _ in range(repeat):
        peers.append(seconds(lambda: bare_read_and_hash(path)))
        ours.append(seconds(lambda: found_nothing(path)))
    line(f"verify, {Journal.open(path).position:,} events, s", ours, peers, "1.5")


def found_nothing(path: Path) -> None:
    report = verify(path)
    assert not report.findings, report.findings
    assert report.snapshots > report.events // 2000
    assert report.checkpoints > KEPT_FRACTION


def bare_read_and_hash(path: Path) -> bytes:
    """Read every record, hash it, and build the root: nothing is compared with anything."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT record FROM events ORDER BY rowid")
        level = [sha256(b"\x00" + record.encode()).digest() for (record,) in rows]
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def measure_append(peer_path: Path, path: Path) -> None:
    """One event at a time, alternately with the peer, whose table has the same indexes and nothing else.

    Beside it what follows an outcome, and is no part of its append: the search takes the transaction in.
    """
    peer = sqlite3.connect(peer_path, isolation_level=None)
    with closing(sqlite3.connect(path)) as connection:
        for (sql,) in connection.execute(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = 'events' AND type IN ('table', 'index') ORDER BY type DESC"
        ):
            peer.execute(sql)
    peer.execute("PRAGMA synchronous = EXTRA")
    journal, draft = Journal.open_for_append(path), DraftMaker()
    draft.clock.now += 10**18
    ours, peers, searched = [], [], []
    for _ in range(APPENDS // 2):
        uuid = draft.uuid()
        for payload in (TransactionStarted("upgrade"), TransactionRefused("sysroot-locked", "Locked.")):
            each = draft(uuid, payload)
            ours.append(seconds(lambda each=each: journal.append([each])))  # type: ignore[misc]
            (_, record) = next(journal.records(journal.position - 1))
            peers.append(seconds(lambda record=record: peer.execute(INSERT, (record,))))  # type: ignore[misc]
        searched.append(seconds(journal.update_search))
    line("append of one event, tree and signature, ms", milli(ours), milli(peers), "1.8")
    line("  the mean of all", [statistics.mean(milli(ours))], [statistics.mean(milli(peers))], "")
    print(f"{'  the search, once for each transaction':44}{statistics.median(milli(searched)):>10.3f}")
    assert journal.signed_size == journal.position
    journal.close()
    peer.close()


def measure_as_of(path: Path) -> None:
    """The state at random instants, from opening the journal on."""
    with closing(Journal.open(path)) as journal:
        last = journal.position
        instants = [
            next(journal.events(position - 1)).recorded_at
            for position in random.Random(1).sample(range(100, last), INSTANTS)
        ]

    def as_of(instant: str) -> None:
        with closing(Journal.open(path)) as opened:
            points.at(opened, points.position_of(opened, instant, datetime.now(UTC)))

    taken = milli([seconds(lambda instant=instant: as_of(instant)) for instant in instants])  # type: ignore[misc]
    print(f"{f'as of an instant, {last:,} events, ms':44}{statistics.median(taken):>10.1f}{'':18}{'20 ms':>8}")
    print(f"{'  the slowest of ' + str(INSTANTS):44}{max(taken):>10.1f}")


def measure_history(work: Path, repeat: int) -> None:
    long, short = ([LAYER, "--sysroot", str(work / name), "history"] for name in ("long", "short"))
    count = Journal.open(sysroot_journal(work / "long")).transactions
    bare = [sys.executable, "-c", "pass"]
    ours, peers = alternately(repeat * 4, [*long, "-n", "25"], bare)
    line(f"history -n 25, {count:,} transactions, ms", milli(ours), milli(peers), "3")
    dnf = dnf_history(work)
    ours, peers, whole = alternately(repeat, [*short, "-n", "25"], dnf, short)
    line(f"history -n 25, {DNF_TRANSACTIONS:,}, ms; dnf history list", milli(ours), milli(peers), "0.1")
    line("  all of them, as dnf lists them", milli(whole), milli(peers), "")


def sysroot_journal(path: Path) -> Path:
    return path / "ostree/deploy/os/var/lib/layer/journal.db"


def dnf_history(work: Path) -> list[str]:
    """`dnf history list` on a database of as many transactions."""
    directory = work / "dnf"
    directory.mkdir()
    python = "/usr/bin/python3"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:  # libdnf syncs each transaction: minutes on a disk
        database = Path(memory, "history.sqlite")
        subprocess.run([python, "-c", MAKE_DNF_HISTORY, str(database), str(DNF_TRANSACTIONS)], check=True)
        shutil.copytree(memory, directory, dirs_exist_ok=True)
    options = {"persistdir": directory, "cachedir": directory / "cache", "logdir": directory / "log"}
    options["reposdir"] = directory / "none"
    (directory / "log").mkdir()
    settings = [f"--setopt={name}={value}" for name, value in options.items()]
    command = [python, "-c", DNF, "--releasever=40", *settings, "history", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert listed.count("install package-") == DNF_TRANSACTIONS
    return command


def alternately(repeat: int, *commands: list[str]) -> list[list[float]]:
    """Seconds that each command took, each time one after the other."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(repeat):
        for command, taken in zip(commands, times, strict=True):
            taken.append(seconds(partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)))
    return times


def milli(times: list[float]) -> list[float]:
    return [each * 1000 for each in times]


def line(title: str, ours: list[float], peers: list[float], bar: str) -> None:
    """Medians, and the median of the ratios of neighbours, which saw the same noise."""
    ratio = statistics.median(mine / peer for mine, peer in zip(ours, peers, strict=True))
    print(f"{title:44}{statistics.median(ours):>10.3f}{statistics.median(peers):>10.3f}{ratio:>8.2f}{bar:>8}")


if __name__ == "__main__":
    main()
