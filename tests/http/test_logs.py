"""Log lines of a run have its id: in tasks, provider calls, threads and subscriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.backends.fake_provider import http, message, provider
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import read

SMART = "/api/stream_chat_smart"
FORMS = ["text", "json"]


def lines(server: ServerProcess, form: str) -> list[tuple[str, str]]:
    """Return the text and run id of each line; a traceback belongs to the line before it."""
    if form == "json":
        parsed: list[dict[str, Any]] = [json.loads(line) for line in server.log.splitlines()]
        return [(line["message"], line.get("run_id", "")) for line in parsed]
    heads = [line for line in server.log.splitlines() if line[:2] == "20"]
    parts = [line.partition("  run=") for line in heads]
    return [(text, run_id) for text, _, run_id in parts]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("executor", ["greenlet", "thread"])
def test_every_attempt_at_a_provider_logs_its_run_id(tmp_path: Path, form: str, executor: str):
    """Failed attempts, the fallback, and the end of the run."""
    with provider(http(503, "busy")) as first, provider(http(503, "busy"), http(200, message("Hello."))) as second:
        file = tmp_path / "settings.toml"
        file.write_text(
            f"""
            openai_base_url = "{first.base_url}"
            openai_model = "m1"
            [backends.default]
            fallback = "careful"
            [backends.careful]
            backend = "anthropic"
            anthropic_base_url = "{second.base_url}"
            anthropic_model = "m2"
            """
        )
        served = serve("openai", config=file, log_format=form, executor=executor)
        try:
            got = read(served.post(SMART, {"username": "x", "message": "Hi"}))
            assert got[-1].data["status"] == "complete"
            run_id = got[0].data["run_id"]
        finally:
            assert served.stop() == 0
    written = lines(served, form)
    for text in (
        "attempt 1 for model m1",
        "falling back to careful",
        "attempt 1 for model m2",
        "answered, 6 characters",
    ):
        assert [run for line, run in written if text in line] == [run_id], (text, written)
    assert {run for _, run in written} == {run_id}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("executor", ["greenlet", "thread"])
def test_log_lines_of_a_backend_have_the_run_id(form: str, executor: str):
    """So does the report of its failure with the traceback, and the log of its helper threads."""
    served = serve("tests.logging_backend:ask", log_format=form, executor=executor)
    try:
        run_id = read(served.post(SMART, {"username": "x", "message": "Hi"}))[0].data["run_id"]
        wait_for(lambda: "process_query raised" in served.log)
    finally:
        assert served.stop() == 0
    written = lines(served, form)
    for text in ("the bot is slow today", "process_query raised ValueError", "internal: 'alice' asked"):
        assert [run for line, run in written if text in line] == [run_id], (text, written)


@pytest.mark.parametrize("form", FORMS)
def test_an_error_in_a_subscription_logs_the_run_id(form: str):
    """The next request of the same connection has its own run id, or none."""
    served = serve("tests.custom_chunkers:ask", executor="greenlet", log_format=form)
    try:
        with served.session() as session:
            first, second = (
                read(session.post(served.url + SMART, json={"username": "x", "message": "Hi", "chunking": "raising"}))
                for _ in range(2)
            )
            session.get(f"{served.url}/api/runs/{first[0].data['run_id']}/events", params={"from": "1"}).close()
    finally:
        assert served.stop() == 0
    failed = [run for line, run in lines(served, form) if "chunker 'raising' failed" in line]
    runs = [first[0].data["run_id"], second[0].data["run_id"]]
    assert failed == [*runs, runs[0]]


@pytest.mark.parametrize("form", FORMS)
def test_an_uncaught_error_is_logged_in_one_line(form: str):
    """In the configured format."""
    served = serve("tests.logging_backend:careless", executor="greenlet", log_format=form)
    try:
        read(served.post(SMART, {"username": "x", "message": "Hi"}))
        wait_for(lambda: "unhandled exception" in served.log)
    finally:
        assert served.stop() == 0
    assert len([line for line, _ in lines(served, form) if "unhandled exception" in line]) == 1
    assert "a careless greenlet" in served.log
