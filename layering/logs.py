"""Diagnostics on stderr through structlog: warnings, and with LAYER_DEBUG set all else. They are never the journal.

structlog takes a tenth of a second to load, as long as all else that is loaded before a transaction begins; so it is
loaded with the first line that is to be written.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor


class Log:
    """The log of this process. Each line has what was bound, and what it is given."""

    def __init__(self) -> None:
        self._bound: dict[str, object] = {}

    def bind(self, **facts: object) -> None:
        """Say this in every line from now on."""
        self._bound |= facts

    def debug(self, event: str, **facts: object) -> None:
        """For who looks into layer itself."""
        if os.environ.get("LAYER_DEBUG"):
            self._logger.debug(event, **self._bound, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """Something is not as it should be, and was mended."""
        self._logger.warning(event, **self._bound, **facts)

    @cached_property
    def _logger(self) -> FilteringBoundLogger:
        import structlog

        renderer: Processor = (
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
        )
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        logger: FilteringBoundLogger = structlog.get_logger()
        return logger


log = Log()
