"""Work spread over processes: the results and errors of one process alone, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layering.errors import ImportRefused
from layering.parallel import WorkerDied, spread

pytestmark = pytest.mark.forks


@pytest.fixture(autouse=True)
def no_threads() -> None:
    """Where there are threads nothing is forked, and a test that kills what it takes for a fork kills pytest."""
    assert len(list(Path("/proc/self/task").iterdir())) == len(sys._current_frames())


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_results_are_those_of_one_process_but_come_from_others() -> None:
    done = dict(spread(lambda number: (number**2, os.getpid()), 20, 3))
    assert {number: square for number, (square, _) in done.items()} == {number: number**2 for number in range(20)}
    assert os.getpid() not in {pid for _, pid in done.values()}
    assert not children()


@pytest.mark.parametrize("processes", [1, 3])
def test_the_first_error_in_the_given_order_is_told_whoever_was_quicker(processes: int) -> None:
    def work(number: int) -> int:
        if number == 1:
            time.sleep(0.1)
            raise ImportRefused("one", hint="of two")
        if number == 2:
            raise ImportRefused("two")
        return number

    done = []
    with pytest.raises(ImportRefused, match="one") as caught:
        done += [number for number, _ in spread(work, 100, processes)]
    assert caught.value.hint == "of two"
    assert not children()


def test_what_is_under_way_is_finished_after_an_error_and_nothing_is_begun(tmp_path: Path) -> None:
    def work(number: int) -> None:
        if number == 0:
            raise ImportRefused("zero")
        time.sleep(0.1)
        (tmp_path / str(number)).touch()

    finished = []
    with pytest.raises(ImportRefused):
        finished.extend(spread(work, 100, 2))
    begun = {int(path.name) for path in tmp_path.iterdir()}
    assert 1 in begun
    assert len(begun) < 10


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(WorkerDied, match="Killed"):
        list(spread(lambda _: os.kill(os.getpid(), signal.SIGKILL), 5, 2))
    assert not children()


def test_leaving_early_ends_the_processes_at_once() -> None:
    done = spread(lambda number: time.sleep(86400 if number else 0), 5, 2)
    assert next(done)[0] == 0
    assert len(children()) == 2
    done.close()
    assert not children()


def test_an_interrupt_of_the_terminal_reaches_this_process_alone() -> None:
    """The others would each tell of it on stderr."""
    script = """
import os, signal, sys
from layering.parallel import spread
try:
    for number, _ in spread(lambda number: signal.pause() if number else None, 3, 3):
        os.killpg(0, signal.SIGINT)
        signal.pause()
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, start_new_session=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


def test_who_is_killed_takes_the_processes_along() -> None:
    script = """
import os, signal
from layering.parallel import spread
def work(number):
    if number:
        signal.pause()
    return os.getpid()
for number, pid in spread(work, 2, 2):
    print(pid, flush=True)
    signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process:
        process.stdout.readline()
        process.kill()
        assert process.stdout.read() == ""  # at its end: nobody has the pipe open any more


def test_beside_a_thread_of_a_library_nothing_is_forked() -> None:
    script = """
import os, gi
from gi.repository import Gio, GLib
from layering.parallel import spread
loop = GLib.MainLoop()
Gio.File.new_for_path("/etc/passwd").load_contents_async(None, lambda *_: loop.quit())
loop.run()
print({pid for _, pid in spread(lambda _: os.getpid(), 5, 2)} == {os.getpid()})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
