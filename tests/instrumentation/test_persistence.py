"""What the request log keeps of runs, on paper."""

from __future__ import annotations

from types import SimpleNamespace

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Failed, Started
from persona_stream.core.query import Query, Upstream
from persona_stream.db.records import RunEnded
from persona_stream.instrumentation.persistence import RequestLog
from persona_stream.runs.observer import Asked, Began, Raw
from persona_stream.runs.request import Order
from tests.fakes import RUN_ID, accepted, entries

TRY = Upstream(provider="openai", model="m1", url="http://x", request={}, began_at=1.0, seconds=2.0)


def test_what_is_told_after_the_ending_is_left_be():
    """A thread may go on for long, and its run has been written down: with the tries until then, and no other."""
    kept: list[object] = []
    log = RequestLog(SimpleNamespace(keep=kept.append))
    log.note(RUN_ID, Began(Order(Query(username="x", message="Hi"), Backend("b", lambda query: ""), "smart", "words")))
    log.note(RUN_ID, Asked(TRY))
    journal = entries((0.0, accepted()), (0.0, Started()), (1.0, Failed("timeout")))
    for count in range(1, 4):
        log.observe(journal[:count])
    before = list(kept)
    log.note(RUN_ID, Asked(TRY))
    log.note(RUN_ID, Raw({"late": True}))
    log.observe(journal)
    [first, second] = [record for record in kept if isinstance(record, RunEnded)]
    assert first.upstream == (TRY,)
    assert (second.upstream, second.raw) == ((), None)
    assert kept[: len(before)] == before
