"""Formatters of the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from persona_stream.logging import capture_root_logger, configure_logging, current_run_id


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
