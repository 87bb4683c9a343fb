"""The form of the log's lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from persona_stream.logging import capture_root_logger, configure_logging, current_run_id


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    """Our own logger as it was, afterwards; and no run of another test."""
    current_run_id.set("")
    ours = logging.getLogger("persona_stream")
    before = (ours.handlers, ours.level, ours.propagate)
    yield
    ours.handlers, ours.level, ours.propagate = before


@contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """Have Python's own logger with these handlers; within a test, as pytest adds its own to each."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, list(handlers)
    try:
        yield root
    finally:
        root.handlers = before


def write(form: str, capsys: pytest.CaptureFixture[str], **more: object) -> str:
    """Log one line, and give what was written."""
    configure_logging("info", form)
    logging.getLogger("persona_stream.web").warning("it %s", "broke", **more)
    return capsys.readouterr().err


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_line_of_a_run_names_it_in_either_form(capsys: pytest.CaptureFixture[str], form: str):
    """The one that was given with it, else the one that is worked for."""
    token = current_run_id.set("r1")
    try:
        assert "r1" in write(form, capsys)
        assert "r2" in write(form, capsys, extra={"run_id": "r2"})
    finally:
        current_run_id.reset(token)
    assert "run" not in write(form, capsys)


def test_a_traceback_does_not_take_the_runs_name_away(capsys: pytest.CaptureFixture[str], form: str):
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


def test_what_others_log_has_the_same_form(capsys: pytest.CaptureFixture[str]):
    """With the run that they work for."""
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


def test_whoever_has_a_log_of_their_own_keeps_it():
    """We do not write beside it."""
    configure_logging("info", "json")
    with logging_to(own := logging.NullHandler()) as root:
        capture_root_logger()
        assert root.handlers == [own]
