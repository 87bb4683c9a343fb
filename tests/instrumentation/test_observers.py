"""Records that the observer of the request log enqueues."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec import structs

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Answered, Failed, Started
from persona_stream.core.query import Query, UpstreamCall, Usage
from persona_stream.db.base import RunFinished
from persona_stream.instrumentation.observers import LogObserver, RequestLogObserver
from persona_stream.runs.base import RawResponse, RunRequest, RunStarted, UpstreamCalled
from tests.fakes import RUN_ID, accepted, entries

TRY = UpstreamCall(provider="openai", model="m1", url="http://x", request={}, began_at=1.0, seconds=2.0)


def test_a_run_that_must_not_be_logged_leaves_no_texts():
    """Its records are not even enqueued, in any process; the others have its delivery figures only."""
    kept: list[object] = []
    log = RequestLogObserver(SimpleNamespace(enqueue=kept.append))
    query = Query(username="x", message="secret")
    request = RunRequest(query, Backend("b", lambda query: ""), "smart", "words", is_logged=False)
    log.on_notification(RUN_ID, RunStarted(request))
    log.on_notification(RUN_ID, UpstreamCalled(TRY))
    log.on_notification(RUN_ID, RawResponse({"answer": "secret"}))
    journal = entries((0.0, structs.replace(accepted(), is_logged=False)), (0.0, Started()), (1.0, Answered("secret")))
    for count in range(1, 4):
        log.on_fact(journal[:count])
    assert kept == []


def test_notifications_after_the_end_of_a_run_are_ignored():
    """A thread may outlive its run; the log has the provider calls until the end of the run."""
    kept: list[object] = []
    log = RequestLogObserver(SimpleNamespace(enqueue=kept.append))
    log.on_notification(
        RUN_ID,
        RunStarted(RunRequest(Query(username="x", message="Hi"), Backend("b", lambda query: ""), "smart", "words")),
    )
    log.on_notification(RUN_ID, UpstreamCalled(TRY))
    journal = entries((0.0, accepted()), (0.0, Started()), (1.0, Failed("timeout")))
    for count in range(1, 4):
        log.on_fact(journal[:count])
    before = list(kept)
    log.on_notification(RUN_ID, UpstreamCalled(TRY))
    log.on_notification(RUN_ID, RawResponse({"late": True}))
    log.on_fact(journal)
    [first, second] = [record for record in kept if isinstance(record, RunFinished)]
    assert first.upstream == (TRY,)
    assert (second.upstream, second.raw) == ((), None)
    assert kept[: len(before)] == before


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (Answered("Hello", Usage(input_tokens=9, output_tokens=50)), "processed 4.0 s, 12.5 tokens/s"),
        (Answered("Hello"), "processed 4.0 s"),
        (Answered("Hello", Usage(input_tokens=9, output_tokens=50), cached=True), "processed 4.0 s"),
        (Failed("timeout"), "processed 4.0 s"),
    ],
)
def test_the_log_line_has_the_speed_that_the_backend_reports(
    ending: object, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not of a cached answer, which took no time."""
    with caplog.at_level("INFO", logger="persona_stream.runs"):
        LogObserver().on_fact(entries((0.0, accepted()), (1.0, Started()), (5.0, ending)))
    assert caplog.messages[0].endswith(line)
    assert ("from the cache" in caplog.messages[0]) == (isinstance(ending, Answered) and ending.cached)
