"""Formatters of the log."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from persona_stream.logging import (
    MAX_FRAMES,
    MAX_LOG_RATE,
    capture_root_logger,
    configure_logging,
    current_run_id,
    format_traceback,
    log_exception,
)


@pytest.fixture(autouse=True)
def restored_logger() -> Iterator[None]:
    """Restore the package's logger, and forget the run of another test."""
    current_run_id.set("")
    logger = logging.getLogger("persona_stream")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


@contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """Replace the handlers of the root logger, to which pytest adds its own."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, list(handlers)
    try:
        yield root
    finally:
        root.handlers = before


def write(form: str, capsys: pytest.CaptureFixture[str], **more: object) -> str:
    """Log one line and return it as written."""
    configure_logging("info", form)
    logging.getLogger("persona_stream.web").warning("it %s", "broke", **more)
    return capsys.readouterr().err


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_line_has_the_run_id_in_either_form(capsys: pytest.CaptureFixture[str], form: str):
    """An explicit run id beats the current one."""
    token = current_run_id.set("r1")
    try:
        assert "r1" in write(form, capsys)
        assert "r2" in write(form, capsys, extra={"run_id": "r2"})
    finally:
        current_run_id.reset(token)
    assert "run" not in write(form, capsys)


def test_the_run_id_stands_before_a_traceback(capsys: pytest.CaptureFixture[str], form: str):
    """It is on the line that the traceback belongs to."""
    written = write(form, capsys, extra={"run_id": "r1"}, exc_info=ValueError("a detail"))
    if form == "text":
        first, *rest = written.splitlines()
        assert first.endswith("WARNING it broke  run=r1")
        assert rest[-1] == "ValueError: a detail"
    else:
        line = json.loads(written)
        assert line["run_id"] == "r1"
        assert line["exception"].endswith("ValueError: a detail")


def fail_at(depth: int, kind: type[Exception] = ValueError) -> None:
    if depth:
        fail_at(depth - 1, kind)
    raise kind(depth)


def wrap(depth: int) -> None:
    try:
        wrap(depth - 1) if depth else fail_at(1)
    except Exception as error:
        raise RuntimeError(depth) from error


def test_a_short_traceback_is_pythons_own() -> None:
    for fail in (lambda: fail_at(3), lambda: wrap(2)):
        with pytest.raises(Exception, match=r"\d") as found:
            fail()
        error = found.value
        assert format_traceback(error, error.__traceback__) == "".join(traceback.format_exception(error)).rstrip()


def test_the_traceback_of_a_deep_recursion_is_short() -> None:
    """Python takes seconds to format a million frames, and holds the interpreter lock (ipython/ipython PR 9167)."""
    with pytest.raises(ValueError, match="0") as found:
        fail_at(MAX_FRAMES + 300)
    text = format_traceback(found.value, found.value.__traceback__)
    assert text.count('File "') <= MAX_FRAMES
    assert text.endswith("ValueError: 0")
    with pytest.raises(RuntimeError, match="90") as wrapped:
        wrap(90)
    causes = format_traceback(wrapped.value, wrapped.value.__traceback__)
    assert causes.count("direct cause") == 9
    assert causes.endswith("RuntimeError: 90")


def test_lines_of_other_loggers_have_the_same_form(capsys: pytest.CaptureFixture[str]):
    """They have the current run id too."""
    configure_logging("info", "json")
    token = current_run_id.set("r1")
    try:
        with logging_to():
            capture_root_logger()
            logging.getLogger("my_bot").warning("slow today", extra={"page": 3})
    finally:
        current_run_id.reset(token)
    line = json.loads(capsys.readouterr().err)
    del line["time"]
    assert line == {"level": "warning", "logger": "my_bot", "message": "slow today", "run_id": "r1", "page": 3}


def test_a_configured_root_logger_is_left_alone():
    """No line is written twice."""
    configure_logging("info", "json")
    with logging_to(existing := logging.NullHandler()) as root:
        capture_root_logger()
        assert root.handlers == [existing]


def test_surplus_lines_of_a_backend_are_dropped(capsys: pytest.CaptureFixture[str]):
    """And counted with the first line of a later second; the server's own are never dropped."""
    configure_logging("info", "text")

    def write_at(second: int, name: str = "my_bot") -> None:
        attributes = {"name": name, "levelno": logging.WARNING, "levelname": "WARNING", "msg": f"from {name}"}
        for handler in logging.getLogger("persona_stream").handlers:
            handler.handle(logging.makeLogRecord({**attributes, "created": second + 0.5}))

    for _ in range(MAX_LOG_RATE + 1234):
        write_at(7)
    for _ in range(2 * MAX_LOG_RATE):
        write_at(7, "persona_stream.runs")
    write_at(8)
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.endswith("from my_bot") for line in lines) == MAX_LOG_RATE + 1
    assert sum(line.endswith("from persona_stream.runs") for line in lines) == 2 * MAX_LOG_RATE
    dropped = [line for line in lines if "dropped" in line]
    assert [line.partition("WARNING")[2].strip() for line in dropped] == [
        "1,234 log lines were dropped: the code of backends may write 1,000 per second"
    ]


class RaisingHandler(logging.Handler):
    """Handler that raises, instead of calling ``handleError``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raise."""
        raise ConnectionRefusedError("the log server is down")


def test_a_handler_that_raises_is_reported(capsys: pytest.CaptureFixture[str]):
    """On standard error, with the line that is lost (kislyuk/watchtower PR 149)."""
    logger = logging.getLogger("persona_stream.test_of_handlers")
    logger.addHandler(RaisingHandler())
    try:
        int("the cause")
    except ValueError:
        log_exception(logger, "it %s", "broke")
    reported = capsys.readouterr().err
    assert "the log server is down" in reported
    assert "it %s" in reported


def test_a_closed_stream_fails_no_line(monkeypatch: pytest.MonkeyPatch):
    """Code of a backend may close standard error, to which the log is written."""
    closed = io.StringIO()
    monkeypatch.setattr("sys.stderr", closed)
    configure_logging("info", "text")
    closed.close()
    logging.getLogger("persona_stream.web").warning("lost")
