"""Records that the observer of the request log enqueues."""

from __future__ import annotations

from types import SimpleNamespace

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Failed, Started
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.db.base import RunFinished
from persona_stream.instrumentation.observers import RequestLogObserver
from persona_stream.runs.base import RawResponse, RunRequest, RunStarted, UpstreamCalled
from tests.fakes import RUN_ID, accepted, entries

TRY = UpstreamCall(provider="openai", model="m1", url="http://x", request={}, began_at=1.0, seconds=2.0)


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
