"""Diagnostics on stderr through structlog, silent unless LAYER_DEBUG is set. They are never the journal."""

from __future__ import annotations

import logging
import os
import sys

import structlog


def configure() -> None:
    """Set structlog up for this process: readable on a terminal, JSON lines elsewhere."""
    level = logging.DEBUG if os.environ.get("LAYER_DEBUG") else logging.WARNING
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
