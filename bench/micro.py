"""What the parts cost: an event told and encoded, an answer cut into pieces.

Run as ``python -m bench.micro``; it writes one line of JSON. Nothing is served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from bench.sections import Part
from bench.workload import ANSWER, DEADLINE, RESUME_FOR
from persona_stream.chunking.registry import get_chunker
from persona_stream.core.events import Wait
from persona_stream.core.facts import Accepted, Answered, Entry, Started, TextDelta
from persona_stream.core.projection import SMART, StreamProjection, SubscriptionOptions
from persona_stream.protocols.anthropic.encoder import AnthropicEncoder
from persona_stream.protocols.base import EventEncoder
from persona_stream.protocols.native.encoder import NativeEncoder
from persona_stream.protocols.openai.encoder import OpenAIEncoder

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
    """Give the microseconds of the fastest of several repeats: the others were disturbed."""
    times, spent = 1, 0.0
    while spent < AT_LEAST:
        times *= 2
        spent = _seconds(work, times)
    return min(_seconds(work, times) for _ in range(REPEATS)) / times * 1e6


def _seconds(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


def _tell() -> tuple[Callable[[], int], int]:
    """Give the work of telling and encoding a whole run to one reader, and how many events that is."""
    journal = [Entry(0.0, _ACCEPTED), Entry(0.0, Started()), Entry(10.0, Answered(ANSWER))]
    reader = SubscriptionOptions(SMART, get_chunker("characters"), "zh")
    dialect = NativeEncoder(_ACCEPTED.run_id, f"/api/runs/{_ACCEPTED.run_id}/events?ticket=abc", SMART, "zh")

    def work() -> int:
        # Later than everything is due: nothing waits, so that only the work is timed.
        told = (event for event in StreamProjection(journal, reader, lambda: 1000.0) if not isinstance(event, Wait))
        return sum(len(dialect.encode(event)) > 0 for event in told)

    return work, work()


def _relay(dialect: Callable[[Sequence[Entry]], EventEncoder]) -> tuple[Callable[[], int], int]:
    """Give the work of encoding an answer in deltas, and how many there are."""
    told = [Entry(0.0, TextDelta(word + " ")) for word in ANSWER.split()]
    journal = [Entry(0.0, _ACCEPTED), Entry(0.0, Started()), *told, Entry(10.0, Answered(""))]
    reader = SubscriptionOptions(SMART, get_chunker("words"), "zh")

    events = [event for event in StreamProjection(journal, reader, lambda: 1000.0) if not isinstance(event, Wait)]

    def work() -> int:
        speak = dialect(journal)
        return sum(len(speak.encode(event)) > 0 for event in events)

    return work, len(told)


def _cut(name: str) -> Callable[[], int]:
    """Give the work of cutting the text."""
    chunk = get_chunker(name)
    return lambda: len(list(chunk(TEXT)))


def run() -> list[Part]:
    """Time every part."""
    work, events = _tell()
    found = [Part("one event: told by the script and encoded by the native dialect", _best(work) / events)]
    dialects: dict[str, Callable[[Sequence[Entry]], EventEncoder]] = {
        "the native dialect": lambda journal: NativeEncoder(_ACCEPTED.run_id, "/", SMART, "zh"),
        "OpenAI's dialect": OpenAIEncoder,
        "Anthropic's dialect": AnthropicEncoder,
    }
    for name, dialect in dialects.items():
        work, deltas = _relay(dialect)
        found.append(Part(f"one delta encoded by {name}", _best(work) / deltas))
    for name in ("characters", "words", "sentences"):
        found.append(Part(f"{len(TEXT)} characters cut by {name}", _best(_cut(name))))
    return found


if __name__ == "__main__":
    print(msgspec.json.encode(run()).decode())
