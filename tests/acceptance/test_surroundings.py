"""What the command makes of its surroundings: environment, terminals wide and narrow, pipes, full disks, no streams."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import LAYER, STATEROOT, Host, environment
from tests.acceptance.repositories import Repository


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host for all: foo is layered, and nothing below changes that."""
    place = tmp_path_factory.mktemp("surroundings")
    base = BaseTree(place / "remote")
    base.commit(BRANCH, "1")
    repository = Repository(place / "packages")
    repository.build("foo", files={"/usr/share/foo": "foo\n"})
    host = Host.install(place / "sysroot", base.repo)
    host.set_repo(repository.publish().repo_file())
    host.ok("pkg-add", "foo")
    yield host
    host.fsck()
    host.remove()


def test_the_environment_names_sysroot_and_stateroot(host: Host) -> None:
    surroundings = environment({"LAYER_SYSROOT": str(host.sysroot), "LAYER_OS": STATEROOT})
    done = subprocess.run([LAYER, "status", "--json"], env=surroundings, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == host.status()
    elsewhere = environment({"LAYER_SYSROOT": str(host.sysroot), "LAYER_OS": "other"})
    done = subprocess.run([LAYER, "status"], env=elsewhere, capture_output=True, text=True, check=False)
    assert (done.returncode, f"there is {STATEROOT}" in done.stderr) == (1, True)


def test_colours_are_for_terminals_unless_they_are_asked_for(host: Host) -> None:
    always = (str(LAYER), "--color", "always", *host.command("history")[1:])
    coloured = subprocess.run(always, env=environment(), capture_output=True, text=True, check=True).stdout
    assert "\033[" in coloured
    assert "\033[" not in host.ok("history").stdout
    assert "\033[" in on_terminal(host, "history")
    assert "\033[" not in on_terminal(host, "history", NO_COLOR="1").replace("\033[?", "")


NOISE = """
import os
from layering import operations
quiet = operations.upgrade
def noisy(**given):
    decide = quiet(**given)
    def decide_aloud(work):
        os.write(1, b"Bootloader updated\\n")  # as libostree and what it runs do, past Python
        return decide(work)
    return decide_aloud
operations.upgrade = noisy
from cli.main import main
main()
"""


def test_what_a_library_prints_is_not_among_the_result(host: Host) -> None:
    command = [sys.executable, "-c", NOISE, *host.command("upgrade", "--json")[1:]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outcome"] == "unchanged"
    assert done.stderr == "Bootloader updated\n"


def test_a_reader_that_goes_away_is_no_error(host: Host) -> None:
    pipe = f"set -o pipefail; {' '.join(host.command('history'))} | head -1"
    done = subprocess.run(["bash", "-c", pipe], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("#")
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_history_of_long_commands_fits_the_terminal(host: Host, columns: int) -> None:
    """Down to what a table takes without the commands, which are cut; in a pipe they are whole."""
    specs = [f"a-package-with-a-long-name-{number}" for number in range(9)]
    host.run("pkg-add", *specs, check=1)
    told = on_terminal(host, "history", "-n", "3", columns=columns, NO_COLOR="1").splitlines()
    assert max(len(line) for line in told if line.startswith("#") or line[:1].isdigit()) <= max(columns, 80)
    assert " ".join(specs) in host.ok("history").stdout


def test_a_full_disk_behind_stdout_is_told_in_a_sentence(host: Host) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            host.command("status"), env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_a_change_is_told_of_also_where_stdout_is_a_full_disk(host: Host) -> None:
    for flags in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            command = host.command("pkg-add", "foo", "--idempotent", *flags)
            done = subprocess.run(
                command, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        number = host.last()["transaction"]
        expected = f"error: Transaction {number} is unchanged, but stdout can't be written: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, expected)


def test_a_reader_that_goes_away_leaves_the_exit_code(host: Host) -> None:
    command = host.command("pkg-add", "foo", "--idempotent", "--unchanged-exit-77")
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 77


def test_a_misspelt_verb_is_told_with_the_one_that_is_meant(host: Host) -> None:
    assert "No such command 'statu'. Did you mean 'status'?" in host.run("statu", check=2).stderr
    assert "Did you mean 'export'?" in host.run("audit", "exprot", check=2).stderr
    assert "Did you mean" not in host.run("frobnicate", check=2).stderr


def test_an_argument_that_is_not_utf_8_is_a_usage_error(host: Host) -> None:
    before = host.status()["journal"]["transactions"]
    result = host.run("pkg-add", "\udcff", check=2)
    assert "not in UTF-8" in result.stderr
    assert host.status()["journal"]["transactions"] == before


def test_an_error_that_layer_does_not_foresee_is_a_document_as_well(host: Host) -> None:
    program = "import cli.main; import layering.diagnosis as module; module.diagnose = None; cli.main.main()"
    command = [sys.executable, "-c", program, *host.command("doctor", "--json")[1:]]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    error = json.loads(result.stdout)["error"]
    assert (result.returncode, error["kind"]) == (1, "internal-error")
    assert f"error: {error['message']}\n" in result.stderr


def test_white_space_around_a_name_is_not_a_part_of_it(host: Host) -> None:
    assert "Package/capability 'foo' is already requested" in host.run("pkg-add", " foo ", check=1).stderr


def test_without_any_standard_stream_the_journal_is_not_written_into(host: Host) -> None:
    """Regression: the journal could be opened as descriptor 1, and what is printed would go into it."""
    before = host.status()["journal"]["transactions"]
    command = " ".join(host.command("pkg-add", "foo", "--idempotent"))
    subprocess.run(["bash", "-c", f"{command} <&- >&- 2>&-"], env=environment(), check=True)
    assert host.status()["journal"]["transactions"] == before + 1
    assert host.last()["outcome"] == "unchanged"


def on_terminal(host: Host, *arguments: str, columns: int = 80, **extra: str) -> str:
    """What `layer ARGUMENTS` prints on a terminal of that width and a great height."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 1000, columns, 0, 0))
    # A worker of pytest-xdist has COLUMNS=80, which counts for more than the terminal does.
    surroundings = environment({"TERM": "xterm", "COLUMNS": str(columns), **extra})
    process = subprocess.Popen(host.command(*arguments), env=surroundings, stdout=terminal, stderr=terminal)
    os.close(terminal)
    told = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not part:
            break
        told += part
    os.close(controller)
    assert process.wait() == 0, told
    return told.decode().replace("\r\n", "\n")
