"""Log lines: text for people or JSON for machines, with the run's name on every line that belongs to a run.

What goes along with the requests that are made for a run, so that others' traces join ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

current_run_id: ContextVar[str] = ContextVar("current_run", default="")
"""The run that the current greenlet or thread works for, or that the request is about which it answers."""

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "run_id"}


class _WithRun(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.run_id = getattr(record, "run_id", "") or current_run_id.get()
        return True


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        # The line alone, before the traceback that may follow it.
        line = super().formatMessage(record)
        run_id = getattr(record, "run_id", "")
        return f"{line}  run={run_id}" if run_id else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if run_id := getattr(record, "run_id", ""):
            line["run_id"] = run_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure_logging(level: str, form: str) -> None:
    """Send our log to stderr, in the form ``text`` or ``json``."""
    handler = logging.StreamHandler()
    handler.addFilter(_WithRun())
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(message)s"))
    logger = logging.getLogger("persona_stream")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def capture_root_logger() -> None:
    """Write what others log in the same form, a backend's own code before all: for a process that is ours alone.

    Whoever has set up a log of its own, while its module was imported, keeps that.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.handlers = logging.getLogger("persona_stream").handlers[:]


trace_headers: ContextVar[Mapping[str, str]] = ContextVar("carried", default=MappingProxyType({}))
"""Headers for every request that the current run makes: ``traceparent`` where traces are kept, else none."""
