"""Structured logs: one JSON object a line on standard output, English, without people's data."""

import contextlib
import io
import logging
import sys
import traceback
from typing import TextIO, cast

import psycopg
import structlog
from pydantic import ValidationError
from sqlalchemy.exc import StatementError

# Their texts quote what was sent or stored: a price, a bidder.
_QUOTING = (StatementError, psycopg.Error, ValidationError)


def said_of(error: BaseException) -> str:
    """An error's type and its text; of a text that quotes values no more than the SQLSTATE."""
    if isinstance(error, _QUOTING):
        cause = getattr(error, "orig", None) or error
        return f"{type(cause).__name__}: {getattr(cause, 'sqlstate', '') or ''}"
    return f"{type(error).__name__}: {error}"


def _stack(exc_info: structlog.typing.ExcInfo) -> str:
    """Where it happened and what led to it, as Python prints it but for what would quote values."""
    error: BaseException | None = exc_info[1]
    parts: list[str] = []
    while error is not None:
        parts.append("".join(traceback.format_tb(error.__traceback__)) + said_of(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nthen:\n".join(reversed(parts))


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    structlog.processors.ExceptionRenderer(_stack),
]


_JSON = structlog.processors.JSONRenderer(ensure_ascii=False)


class _Output(io.TextIOBase):
    """Standard output as it is now; that nobody reads it any more is no reason to fail."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return sys.stdout.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()


def configure(service: str, env: str) -> None:
    """Send our own lines and those of libraries through one JSON renderer."""
    renderer = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _JSON],
    )
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(renderer)
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(logging.INFO)
    for quiet in ("httpx", "aiokafka", "alembic", "uvicorn.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    # Our own lines go straight: through `logging`, a request's costs as much as its routing.
    structlog.configure(
        processors=[*_SHARED, _JSON],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Output())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, env=env)


log: structlog.stdlib.BoundLogger = structlog.get_logger("yaosu")
