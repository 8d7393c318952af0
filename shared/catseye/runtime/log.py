"""JSON logs, one object a line, on standard output."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from catseye.contract.masking import masked
from catseye.kafka.client_log import ClientLines


class Lines:
    """A stream that drops what it cannot write: a full disk must not end who logs.

    Args:
        stream: Where lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def set_up(service: str, instance: str, level: str) -> structlog.typing.FilteringBoundLogger:
    """Configure logging of this process; every line carries the service and its instance."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Lines(sys.stdout))),
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(service=service, instance=instance)
    return logger


class Forward(logging.Handler):
    """Writes what libraries log by the standard library as lines of *logger*, warnings and worse."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        more = {"fault": repr(fault)} if fault is not None else {}
        self._logger.log(record.levelno, record.name, what=record.getMessage(), **more)


def client_lines(
    logger: structlog.typing.FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic
) -> ClientLines:
    """Writes librdkafka's own lines as lines of *logger*, which drops what is below its level."""

    def write(level: int, what: str, held_back: int) -> None:
        logger.log(level, "librdkafka", what=what, **({"held_back": held_back} if held_back else {}))

    return ClientLines(write, monotonic)


def _without_secrets(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {name: masked(value) if isinstance(value, str) else value for name, value in line.items()}
