"""Work spread over processes that are forked from this one: what they need is there already, nothing is loaded twice.

Threads would take turns: most of an import holds Python's lock. See docs/adr/0050.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from layering.errors import LayeringError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

_AT_MOST = 8
"""Processes: each may need 64 MiB and more to decompress what it reads."""

_AHEAD = 2
"""Numbers that each process is given at a time: it need not wait for the next one."""

_PR_SET_PDEATHSIG = 1  # prctl(2)

T = TypeVar("T")


class WorkerDied(LayeringError):
    """A process that did a part of the work crashed, or was killed."""

    id = "worker-died"


def processors() -> int:
    """How many processes to spread work over: as many as this one may use processors, 8 at most."""
    return min(len(os.sched_getaffinity(0)), _AT_MOST)


def spread(work: Callable[[int], T], count: int, processes: int) -> Generator[tuple[int, T], None, None]:
    """Call `work` with each number below `count`, in several processes, and give each result as it comes.

    The numbers are given out in their order. After the first error no more are; what is under way is finished, and
    the error of the lowest number is raised: the one that a single process would have met. Closing the iterator ends
    the processes at once.

    Args:
        processes: with one, or where forking is not safe, this process does all by itself.

    Raises:
        WorkerDied: a process is gone. And what `work` raises.
    """
    if processes < 2 or not _may_fork():  # noqa: PLR2004 - it takes two
        yield from ((number, work(number)) for number in range(count))
        return
    crew = _Crew()
    try:
        crew.hire(work, min(processes, count))
        yield from crew.results(count)
    finally:
        crew.dismiss()


class _Crew:
    """The processes, each at the other end of a pipe."""

    def __init__(self) -> None:
        self._members: dict[Connection[int, tuple[bool, Any]], ForkProcess] = {}

    def hire(self, work: Callable[[int], object], processes: int) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        # An interrupt is for this process to handle: the others end with it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(processes):
                ours, theirs = context.Pipe()
                with theirs:
                    member = context.Process(target=_serve, args=(theirs, work, os.getpid()), daemon=True)
                    member.start()
                self._members[ours] = member
        except OSError as error:
            raise LayeringError(f"No process could be started: {error.strerror or error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def results(self, count: int) -> Iterator[tuple[int, Any]]:
        from multiprocessing.connection import wait

        ahead = iter(range(count))
        errors: dict[int, Exception] = {}
        given: dict[Connection[int, tuple[bool, Any]], deque[int]] = {member: deque() for member in self._members}
        for _ in range(_AHEAD):
            for member, number in zip(given, ahead, strict=False):
                self._give(member, number)
                given[member].append(number)
        while busy := [member for member, numbers in given.items() if numbers]:
            ready = wait(busy)
            for member in (each for each in busy if each in ready):
                number = given[member].popleft()
                well, result = self._answer(member)
                if well:
                    yield number, result
                else:
                    errors[number] = result
                if not errors and (following := next(ahead, None)) is not None:
                    self._give(member, following)
                    given[member].append(following)
        if errors:
            raise errors[min(errors)]

    def _give(self, member: Connection[int, tuple[bool, Any]], number: int) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is gone: asking for its answer tells
            member.send(number)

    def _answer(self, member: Connection[int, tuple[bool, Any]]) -> tuple[bool, Any]:
        try:
            return member.recv()
        except (EOFError, ConnectionResetError):
            process = self._members[member]
            process.join()
            return False, WorkerDied(f"A process that did a part of the work is gone: {_how(process)}")

    def dismiss(self) -> None:
        for connection, process in self._members.items():
            process.kill()
            process.join()
            connection.close()


def _how(process: ForkProcess) -> str:
    """How a process ended."""
    code = process.exitcode or 0
    return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit status {code}"


def _may_fork() -> bool:
    """Whether no thread but Python's own is there: others may hold locks, which nobody would open in a fork.

    Of Python's own threads none runs C code while this one holds Python's lock; progress on a terminal has one.
    """
    return len(list(Path("/proc/self/task").iterdir())) == len(sys._current_frames())


def _serve(connection: Connection[tuple[bool, Any], int], work: Callable[[int], object], parent: int) -> None:
    """A member's life. It must not outlive the parent, whose lock of the sysroot it holds as well."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    while os.getppid() == parent:
        number = connection.recv()
        try:
            answer = True, work(number)
        except Exception as error:
            answer = False, error
        connection.send(answer)
