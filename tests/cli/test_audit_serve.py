"""`layer audit serve` in a real browser: pages render, questions are answered, nothing can be written."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from cli.desk.picture import HEIGHT, WIDTH, columns, latest_days
from journal.events import TransactionStarted, TransactionUnchanged
from journal.schema import migrate
from journal.store import Journal
from tests.cli.conftest import Layer
from tests.drafts import DraftMaker

_PATIENCE = 300  # seconds for a page
_BROWSER = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1000"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (*_BROWSER, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield opened
    opened.quit()


@pytest.fixture
def desk(tmp_path: Path, journal_path: Path) -> Iterator[str]:
    """The address of a desk."""
    with served(tmp_path) as address:
        yield address


@contextmanager
def served(sysroot: Path, *journal: str | Path, end: signal.Signals = signal.SIGINT) -> Iterator[str]:
    """The address of a desk that is served on a free port of this machine."""
    layer = Path(sys.executable).parent / "layer"
    command = [layer, "--sysroot", sysroot, "audit", *journal, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail("it did not start")
        yield found[0]
        server.send_signal(end)
        server.stderr.read()
        assert server.wait() == 0


def test_the_first_page_shows_figures_days_and_the_last_transactions(desk: str, browser: webdriver.Chrome) -> None:
    browser.get(desk)
    assert browser.title == "layer: os"
    figures = browser.find_element(By.CLASS_NAME, "figures").text.split("\n")
    assert dict(zip(figures[1::2], figures[::2], strict=True)) == {
        "transactions": "3",
        "events": "9",
        "failures": "1",
        "actors": "1",
        "packages layered": "1",
        "in the base": "1",
    }
    bars = browser.find_elements(By.CSS_SELECTOR, ".days rect")
    assert {bar.get_attribute("class") for bar in bars} == {"committed", "refused"}
    assert all(bar.size["width"] > 0 and bar.size["height"] > 0 for bar in bars)
    first, *_ = browser.find_elements(By.CSS_SELECTOR, ".latest li")
    assert "pkg-add nosuch" in first.text
    assert "Packages not found: nosuch" in first.text
    assert browser.find_element(By.CSS_SELECTOR, ".badge.refused").value_of_css_property("background-color") != (
        "rgba(0, 0, 0, 0)"
    )


def test_a_reader_comes_from_the_first_page_to_a_transaction_and_by_the_search_to_a_ticket(
    desk: str, browser: webdriver.Chrome
) -> None:
    browser.get(desk)
    browser.find_element(By.CSS_SELECTOR, ".latest li:nth-child(2) .number").click()
    WebDriverWait(browser, _PATIENCE).until(expected_conditions.url_contains("/transaction?number="))
    assert "layer-committed" in browser.find_element(By.CSS_SELECTOR, "table.rows-and-columns").text
    browser.get(desk)
    browser.find_element(By.NAME, "words").send_keys('"CHG-1042"')
    browser.find_element(By.CSS_SELECTOR, ".ask button").click()
    WebDriverWait(browser, _PATIENCE).until(expected_conditions.url_contains("/search?words="))
    rows = browser.find_elements(By.CSS_SELECTOR, "table.rows-and-columns tbody tr")
    assert [row.find_element(By.CSS_SELECTOR, "td").text for row in rows] == ["2"]


@pytest.mark.parametrize(
    ("question", "parameters", "answer"),
    [
        ("timeline", {}, "Packages not found: nosuch"),
        ("who_installed_what", {"name": "stra"}, "strace-6.1-1.x86_64"),
        ("failures", {}, "packages-not-found"),
        ("packages_at_a_time", {"time": "2025-06-15T15:06:45Z"}, "zlib-1.3-1.x86_64"),
        ("exposure", {"name": "strace", "below": "6.2"}, "still there"),
        ("exposure", {"name": "strace", "below": "6.1"}, None),
        ("exposure", {"name": "strace", "below": "6.1-1"}, None),
        ("exposure", {"name": "strace", "below": "1:1.0"}, "still there"),
        ("requests", {}, "strace"),
        ("search", {"words": "syscalls"}, "CHG-1042"),
        ("transaction", {"number": "3"}, "transaction-refused"),
    ],
)
def test_a_question_is_answered(
    desk: str, browser: webdriver.Chrome, question: str, parameters: dict[str, str], answer: str | None
) -> None:
    browser.get(f"{desk}/journal/{question}?{urllib.parse.urlencode(parameters)}")
    rows = browser.find_elements(By.CSS_SELECTOR, "table.rows-and-columns tbody tr")
    assert any(answer in row.text for row in rows) if answer else rows == []


def test_what_is_added_meanwhile_is_shown(
    desk: str, browser: webdriver.Chrome, journal_path: Path, draft: DraftMaker
) -> None:
    browser.get(desk)
    journal = Journal.open_for_append(journal_path)
    uuid = draft.uuid()
    journal.append([draft(uuid, TransactionStarted("upgrade")), draft(uuid, TransactionUnchanged("No upgrade."))])
    browser.refresh()
    assert browser.find_element(By.CSS_SELECTOR, ".figures b").text == "4"


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM events",
        "INSERT INTO search (search) VALUES ('rebuild')",
        "WITH x AS (SELECT 1) DELETE FROM snapshots",
        "PRAGMA user_version = 9",
        "SELECT 1; DROP VIEW history",
    ],
)
def test_an_attempt_to_write_fails_and_changes_nothing(desk: str, journal_path: Path, sql: str) -> None:
    before = hashlib.sha256(journal_path.read_bytes()).digest()
    address = f"{desk}/journal.json?{urllib.parse.urlencode({'sql': sql})}"
    for data in (None, b"sql=x"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(address, data))  # noqa: S310 - the desk's own address
        assert refused.value.code in (400, 403, 404, 405)
    assert hashlib.sha256(journal_path.read_bytes()).digest() == before


def test_a_copy_is_served_as_well(journal_path: Path, layer: Layer, tmp_path: Path, browser: webdriver.Chrome) -> None:
    copy = tmp_path / "copy.db"
    layer("audit", "export", "--format", "sqlite", "-o", copy)
    journal_path.unlink()
    with served(tmp_path, "--journal", copy) as desk:
        browser.get(desk)
        assert browser.title == "layer: copy.db"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_journal_of_the_first_schema_is_served_with_what_later_ones_have(
    journal_path: Path, tmp_path: Path, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Journal.open(journal_path)) as journal:
        records = list(journal.records())
    with closing(sqlite3.connect(tmp_path / "first.db", isolation_level=None)) as connection:
        migrate(connection, 1)
        connection.executemany("INSERT INTO events (record) VALUES (?)", [(record,) for _, record in records])
    before = hashlib.sha256((tmp_path / "first.db").read_bytes()).digest()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with served(tmp_path, "--journal", tmp_path / "first.db", end=end) as desk:
        for page, told in (("", "Packages not found: nosuch"), ("/journal/search?words=syscalls", "CHG-1042")):
            with urllib.request.urlopen(f"{desk}{page}") as answer:  # noqa: S310 - the desk's own address
                assert told in answer.read().decode()
    assert hashlib.sha256((tmp_path / "first.db").read_bytes()).digest() == before
    assert list(scratch.iterdir()) == []


def test_only_this_machine_can_reach_it(desk: str) -> None:
    port = int(desk.rpartition(":")[2])
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{port}"]


def test_a_port_that_is_taken_is_told_and_is_no_difference(layer: Layer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = layer("audit", "serve", "--port", str(taken.getsockname()[1]), check=False)
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "error: Nothing can be served at 127.0.0.1" in done.stderr


def test_a_file_that_is_no_journal_is_told_and_nothing_is_served(layer: Layer, journal_path: Path) -> None:
    journal_path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    done = layer("audit", "serve", "--port", "0", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is corrupt" in done.stderr


def test_the_days_are_drawn_to_scale_and_the_oldest_make_room() -> None:
    counts = [("2026-01-01", "failed", 9), ("2026-06-01", "committed", 3), ("2026-06-01", "failed", 1)]
    latest = latest_days([*counts, ("2026-06-03", "committed", 2)])
    assert ("2026-01-01", "failed", 9) not in latest
    first, second, third = columns(latest)
    assert (first.height, second.height, third.height) == (HEIGHT * 3 / 4, HEIGHT / 4, HEIGHT / 2)
    assert (first.y, second.y, third.y) == (HEIGHT / 4, 0, HEIGHT / 2)
    assert first.x == second.x == 0
    assert 0 < third.x + third.width <= WIDTH
    assert columns([]) == []
