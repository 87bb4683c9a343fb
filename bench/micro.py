"""Cost of single parts: an event projected and encoded, an answer chunked.

Run as ``python -m bench.micro``; it writes one line of JSON. Nothing is served.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from bench.sections import Part
from bench.workload import ANSWER, DEADLINE, RESUME_FOR
from persona_stream.chunking.registry import get_chunker
from persona_stream.core.events import Wait
from persona_stream.core.facts import Accepted, Answered, Entry, Started, TextDelta
from persona_stream.core.projection import SMART, StreamProjection, SubscriptionOptions
from persona_stream.core.sse import encode
from persona_stream.protocols.base import EncoderOptions, WireProtocol
from persona_stream.protocols.native.protocol import NATIVE
from persona_stream.protocols.registry import PROTOCOLS

REPEATS: Final = 15
AT_LEAST: Final = 0.02
"""Seconds that one of the repeats takes, so that the clock's steps do not count."""

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
    """Return the microseconds of the fastest of several repeats: the others were disturbed."""
    times = 1
    spent = 0.0
    while spent < AT_LEAST:
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
    """Return the work of projecting and encoding a whole run for one subscriber, and its number of events."""
    journal = [Entry(0.0, _ACCEPTED), Entry(0.0, Started()), Entry(10.0, Answered(ANSWER))]
    options = SubscriptionOptions(SMART, get_chunker("characters"), "zh")
    encoder = NATIVE.encoder(journal, _OPTIONS)

    def work() -> int:
        count = 0
        # Everything is overdue: nothing waits, so that only the work is timed.
        for step in StreamProjection(journal, options, lambda: 1000.0):
            if not isinstance(step, Wait):
                for message in encoder.encode(step):
                    count += len(encode(message)) > 0
        return count

    return work, work()


def _encode_deltas(protocol: WireProtocol) -> tuple[Callable[[], int], int]:
    """Return the work of encoding an answer in deltas, and the number of deltas."""
    deltas = [Entry(0.0, TextDelta(word + " ")) for word in ANSWER.split()]
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
    """Return the work of chunking the text."""
    chunk = get_chunker(name)
    return lambda: len(list(chunk(TEXT)))


def run() -> list[Part]:
    """Measure every part."""
    work, events = _project()
    parts = [Part("one event projected and encoded by the native protocol", _best(work) / events)]
    for name, protocol in PROTOCOLS.items():
        work, deltas = _encode_deltas(protocol)
        parts.append(Part(f"one delta encoded by the protocol {name}", _best(work) / deltas))
    for name in ("characters", "words", "sentences"):
        parts.append(Part(f"{len(TEXT)} characters chunked by {name}", _best(_chunk(name))))
    return parts


if __name__ == "__main__":
    print(msgspec.json.encode(run()).decode())
