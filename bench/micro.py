"""Microbenchmarks: projection and encoding of events, and chunking.

Run as ``python -m bench.micro``; it prints one line of JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from bench.sections import MicroBenchmark
from bench.workload import ANSWER, DEADLINE, RESUME_FOR
from persona_stream.chunking.registry import get_chunker
from persona_stream.core.events import Wait
from persona_stream.core.facts import Accepted, AnswerDelta, Answered, Entry, Started
from persona_stream.core.projection import SMART, StreamProjection, SubscriptionOptions
from persona_stream.core.sse import encode
from persona_stream.protocols.base import EncoderOptions, WireProtocol
from persona_stream.protocols.native.encoder import NATIVE
from persona_stream.protocols.registry import PROTOCOLS

REPEATS: Final = 15
MIN_REPEAT_TIME: Final = 0.02
"""Minimum seconds of a repetition, so that the resolution of the clock does not matter."""

PROSE: Final = (
    "An answer is read as it grows, so it is cut where a reader would pause. Numbers such as 3.14 or 1,000 stay "
    "whole, and so do abbreviations, e.g. Dr. Who; a link like https://example.org/a?b=c is never broken. "
    "中文没有空格，所以按句读切分。这是第一句话；这是第二句！还有第三句吗？当然有…… "
) * 3
TEXT: Final = PROSE[:500]


_ACCEPTED: Final = Accepted(
    run_id="01kaf0000000000000000000zz", owner="bench-1", username="bench", conversation_id="chat_123",
    style=SMART.name, chunking="characters", locale="zh", reasoning=False, deadline=DEADLINE,
    resume_for=RESUME_FOR,
)  # fmt: skip


def _best(work: Callable[[], object]) -> float:
    """Return the microseconds of the fastest of several repetitions, which is the least disturbed one."""
    times = 1
    spent = 0.0
    while spent < MIN_REPEAT_TIME:
        times *= 2
        spent = _seconds(work, times)
    return min(_seconds(work, times) for _ in range(REPEATS)) / times * 1e6


def _seconds(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


_OPTIONS: Final = EncoderOptions(style=SMART, locale="zh", events_url=f"/api/runs/{_ACCEPTED.run_id}/events?ticket=abc")


def _project() -> tuple[Callable[[], int], int]:
    """Return a function that projects and encodes a complete run for one subscriber, and its number of events."""
    journal = [Entry(0.0, _ACCEPTED), Entry(0.0, Started()), Entry(10.0, Answered(ANSWER))]
    options = SubscriptionOptions(SMART, get_chunker("characters"), "zh")
    encoder = NATIVE.encoder(journal, _OPTIONS)

    def work() -> int:
        count = 0
        # All events are overdue, so that no waiting is measured.
        for step in StreamProjection(journal, options, lambda: 1000.0):
            if not isinstance(step, Wait):
                for message in encoder.encode(step):
                    count += len(encode(message)) > 0
        return count

    return work, work()


def _encode_deltas(protocol: WireProtocol) -> tuple[Callable[[], int], int]:
    """Return a function that encodes an answer of deltas, and their number."""
    deltas = [Entry(0.0, AnswerDelta(word + " ")) for word in ANSWER.split()]
    journal = [Entry(0.0, _ACCEPTED), Entry(0.0, Started()), *deltas, Entry(10.0, Answered(""))]
    options = SubscriptionOptions(SMART, get_chunker("words"), "zh")
    steps = StreamProjection(journal, options, lambda: 1000.0)
    events = [step for step in steps if not isinstance(step, Wait)]

    def work() -> int:
        encoder = protocol.encoder(journal, _OPTIONS)
        count = 0
        for event in events:
            for message in encoder.encode(event):
                count += len(encode(message)) > 0
        return count

    return work, len(deltas)


def _chunk(name: str) -> Callable[[], int]:
    """Return a function that chunks the text."""
    chunk = get_chunker(name)
    return lambda: len(list(chunk(TEXT)))


def run() -> list[MicroBenchmark]:
    """Run all microbenchmarks."""
    work, events = _project()
    found = [MicroBenchmark("one event, projected and encoded in the native protocol", _best(work) / events)]
    for name, protocol in PROTOCOLS.items():
        work, deltas = _encode_deltas(protocol)
        found.append(MicroBenchmark(f"one delta, encoded in the {name} protocol", _best(work) / deltas))
    for name in ("characters", "words", "sentences"):
        found.append(MicroBenchmark(f"{len(TEXT)} characters, chunked by {name}", _best(_chunk(name))))
    return found


if __name__ == "__main__":
    print(msgspec.json.encode(run()).decode())
