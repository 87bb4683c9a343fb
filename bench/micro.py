"""What the parts cost: an event told and encoded, an answer cut into pieces.

Run as ``python -m bench.micro``; it writes one line of JSON. Nothing is served.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from bench.parts import Part
from bench.workload import ANSWER, DEADLINE, RESUME_FOR
from persona_stream.chunking import chunker
from persona_stream.dialects.native import Native
from persona_stream.events import Wait
from persona_stream.facts import Accepted, Answered, Entry, Started
from persona_stream.script import Reader, Script
from persona_stream.styles import SMART

REPEATS: Final = 15
AT_LEAST: Final = 0.02
"""Seconds that one of the repeats takes, so that the clock's steps do not count."""

PROSE: Final = (
    "An answer is read as it grows, so it is cut where a reader would pause. Numbers such as 3.14 or 1,000 stay "
    "whole, and so do abbreviations, e.g. Dr. Who; a link like https://example.org/a?b=c is never broken. "
    "中文没有空格，所以按句读切分。这是第一句话；这是第二句！还有第三句吗？当然有…… "
) * 3
TEXT: Final = PROSE[:500]


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
    accepted = Accepted(
        run_id="01kaf0000000000000000000zz", owner="bench-1", username="bench", conversation_id="chat_123",
        style=SMART.name, chunking="characters", locale="zh", reasoning=False, deadline=DEADLINE,
        resume_for=RESUME_FOR,
    )  # fmt: skip
    journal = [Entry(0.0, accepted), Entry(0.0, Started()), Entry(10.0, Answered(ANSWER))]
    reader = Reader(SMART, chunker("characters"), "zh")
    dialect = Native(accepted.run_id, f"/api/runs/{accepted.run_id}/events?ticket=abc", SMART, "zh")

    def work() -> int:
        # Later than everything is due: nothing waits, so that only the work is timed.
        told = (event for event in Script(journal, reader, lambda: 1000.0) if not isinstance(event, Wait))
        return sum(len(dialect.encode(event)) > 0 for event in told)

    return work, work()


def _cut(name: str) -> Callable[[], int]:
    """Give the work of cutting the text."""
    chunk = chunker(name)
    return lambda: len(list(chunk(TEXT)))


def run() -> list[Part]:
    """Time every part."""
    work, events = _tell()
    found = [Part("one event: told by the script and encoded by the native dialect", _best(work) / events)]
    for name in ("characters", "words", "sentences"):
        found.append(Part(f"{len(TEXT)} characters cut by {name}", _best(_cut(name))))
    return found


if __name__ == "__main__":
    print(msgspec.json.encode(run()).decode())
