"""Log formatters, the run that a line or an outgoing request belongs to, and the limit of a backend's lines."""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any

import msgspec

current_run_id: ContextVar[str] = ContextVar("current_run", default="")
"""Run that the current greenlet or thread works for, or that the current request is about."""

trace_headers: ContextVar[Mapping[str, str]] = ContextVar("trace_headers", default=MappingProxyType({}))
"""Headers for outgoing requests of the current run: ``traceparent`` if tracing is enabled, else none."""

_STANDARD_ATTRIBUTES = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "run_id"}

MAX_FRAMES = 200  # of each exception: formatting takes 20 µs for each, and a recursion may have a million
MAX_CAUSES = 10

MAX_LOG_RATE = 1000  # lines per second of a backend's code


class LineQuota:
    """Quota of the log lines that a backend writes in each second; the lines above it are dropped and counted."""

    def __init__(self, on_dropped: Callable[[int], object]) -> None:
        """Create the quota; ``on_dropped`` gets the number of dropped lines, with the first line of a later second."""
        self._on_dropped = on_dropped
        self._second = 0
        self._count = 0  # of the lines in this second

    def admits(self, at: float) -> bool:
        """Count a line of this moment; return whether it is within the quota."""
        if int(at) != self._second:
            dropped = self._count - MAX_LOG_RATE
            self._second = int(at)
            self._count = 0
            if dropped > 0:
                self._on_dropped(dropped)
        self._count += 1
        return self._count <= MAX_LOG_RATE


class _BackendFilter(logging.Filter):
    """Filter of the lines of other loggers, which one query could write without end."""

    def __init__(self) -> None:
        super().__init__()
        self._quota = LineQuota(_log_dropped)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.startswith("persona_stream") or self._quota.admits(record.created)


def _log_dropped(count: int) -> None:
    text = "%s log lines were dropped: the code of backends may write %s per second"
    logging.getLogger("persona_stream").warning(text, f"{count:,}", f"{MAX_LOG_RATE:,}")


class _RunIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.run_id = getattr(record, "run_id", "") or current_run_id.get()
        return True


def format_traceback(error: BaseException, frames: TracebackType | None) -> str:
    """Return the traceback of an exception with its latest causes, each with its innermost frames."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 2 * MAX_CAUSES:
        count = sum(1 for _ in traceback.walk_tb(frames))
        while count > MAX_FRAMES and frames is not None:
            frames = frames.tb_next
            count -= 1
        parts.append("".join(traceback.format_exception(type(cause), cause, frames, chain=False)))
        if cause.__cause__ is not None:
            cause = cause.__cause__
            parts.append("\nThe above exception was the direct cause of the following exception:\n\n")
        else:
            cause = None if cause.__suppress_context__ else cause.__context__
            parts.append("\nDuring handling of the above exception, another exception occurred:\n\n")
        frames = None if cause is None else cause.__traceback__
    return "".join(reversed(parts[:-1])).rstrip()


class ExceptionFormatter(logging.Formatter):
    """Formatter with bounded tracebacks."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the library's name
        """Return the traceback of an exception."""
        return format_traceback(ei[1], ei[2])


class _TextFormatter(ExceptionFormatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        # Only the line itself, so that the run id stands before a traceback.
        line = super().formatMessage(record)
        run_id = getattr(record, "run_id", "")
        return f"{line}  run={run_id}" if run_id else line


class _JsonFormatter(ExceptionFormatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES}
        if run_id := getattr(record, "run_id", ""):
            line["run_id"] = run_id
        if exception := record.exc_text or (record.exc_info and self.formatException(record.exc_info)):
            line["exception"] = exception
        return msgspec.json.encode(line, enc_hook=str).decode()


class _Handler(logging.StreamHandler[Any]):
    """Handler whose failure, such as that of a stream that the backend has closed, fails no code that logs."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        """Report the failure, unless standard error is closed too."""
        with suppress(Exception):
            super().handleError(record)


_failures = _Handler()


def handle_record(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Pass a record to the handlers of a logger; one that raises, as some for log servers do, fails nothing else."""
    try:
        logger.handle(record)
    except Exception:  # noqa: BLE001 - of the application
        _failures.handleError(record)


def log_exception(logger: logging.Logger, message: str, *args: object) -> None:
    """Log the current exception, even if it is that of a handler of the log."""
    handle_record(logger, logger.makeRecord(logger.name, logging.ERROR, "", 0, message, args, sys.exc_info()))


def log_remote_error(logger: logging.Logger, message: str, traceback: str) -> None:
    """Log an error that another process raised, with the traceback of that process (empty if there is none)."""
    if logger.isEnabledFor(logging.ERROR):
        attributes = {"name": logger.name, "levelno": logging.ERROR, "levelname": "ERROR", "msg": message}
        handle_record(logger, logging.makeLogRecord({**attributes, "exc_text": traceback or None}))


def configure_logging(level: str, form: str) -> None:
    """Send the log of this package to stderr, with lines in the form ``text`` or ``json``."""
    handler = _Handler()
    handler.addFilter(_BackendFilter())
    handler.addFilter(_RunIdFilter())
    handler.setFormatter(
        _JsonFormatter() if form == "json" else _TextFormatter("%(asctime)s %(levelname)-7s %(message)s")
    )
    logger = logging.getLogger("persona_stream")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def capture_root_logger() -> None:
    """Format the lines of other loggers, the backend's above all, in the same way. For the server's own processes.

    A root logger that already has handlers, set up by the backend's module, is left alone.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.handlers = logging.getLogger("persona_stream").handlers[:]
