"""Progress on a terminal: a bar for anything that takes longer than half a second, gone when it is done."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from layering.progress import Progress

_PATIENCE = 0.5  # seconds


def for_terminal() -> Progress:
    """Progress on stderr where that is a terminal, silence elsewhere."""
    if sys.stderr.isatty():
        return TerminalProgress()
    from layering.progress import Silent

    return Silent()


class TerminalProgress:
    """One line on stderr that tells the present step. Nothing is drawn, or loaded, for what is quick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._display: RichProgress | None = None
        self._title, self._completed = "", 0
        self._total: int | None = None
        self._over = False

    def step(self, title: str, total: int | None = None) -> None:
        with self._lock:
            self._title, self._total, self._completed = title, total, 0
            if self._timer is None and not self._over:
                self._timer = threading.Timer(_PATIENCE, self._show)
                self._timer.daemon = True
                self._timer.start()
            if self._display:
                self._display.reset(self._display.task_ids[0], description=title, total=total)

    def advance(self, amount: int) -> None:
        with self._lock:
            self._completed += amount
            if self._display:
                self._display.update(self._display.task_ids[0], completed=self._completed)

    def done(self) -> None:
        with self._lock:
            self._over = True
            timer, display, self._display = self._timer, self._display, None
        if timer:
            timer.cancel()
        if display:
            display.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with self._lock:
            if self._over:
                return
            display.add_task(self._title, total=self._total, completed=self._completed)
            display.start()
            self._display = display
