"""Log lines as a service writes them, for tests that read them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from marketkit import logs


@contextmanager
def real_logs() -> Iterator[None]:
    """Within it lines go to standard output as in production, instead of as tests print them."""
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("toy", "test")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**config)
        structlog.contextvars.clear_contextvars()
        root.handlers[:] = handlers
        root.setLevel(level)
