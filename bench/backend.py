"""Backends of the benchmarks: blocking functions, like those of a user of the package."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.provider import RATE, TOKENS, WIDTH, now
from bench.workload import ANSWER
from persona_stream import Query

_SAMPLE = 1_000_000  # of additions, whose time is measured


def answer(message: str) -> str:
    """Return the answer of 500 characters after the number of seconds in the message."""
    time.sleep(float(message))
    return ANSWER


def either(message: str) -> str:
    """Execute the verb of the message, or answer like ``answer``.

    ``long 1000`` answers at once with so many characters. ``spin 3`` computes in Python for 3 s, and ``lock 3`` in C
    for about 3 s without releasing the interpreter lock. ``gather 20 /tmp/x`` waits until 20 processes have created a
    file there.
    """
    match message.split():
        case ["long", characters]:
            return "x" * int(characters)
        case ["spin", seconds]:
            until = time.monotonic() + float(seconds)
            while time.monotonic() < until:
                sum(range(1000))
            return "Computed."
        case ["lock", seconds]:
            began = time.monotonic()
            sum(range(_SAMPLE))
            sum(range(round(_SAMPLE * float(seconds) / (time.monotonic() - began))))
            return "Computed."
        case ["gather", count, folder]:
            directory = Path(folder)
            (directory / str(os.getpid())).touch()
            while sum(1 for _ in directory.iterdir()) < int(count):
                time.sleep(0.5)  # a long interval, because hundreds of processes poll while others start
            return "Gathered."
        case _:
            return answer(message)


def send_tokens(query: Query) -> str:
    """Send the tokens of the fake provider, at its rate."""
    began = time.monotonic()
    for number in range(TOKENS):
        query.send(f"{now():0{WIDTH}d} ")
        time.sleep(max(0.0, began + (number + 1) / RATE - time.monotonic()))
    return ""


def timed(message: str) -> str:
    """Answer at once, after a wait (``sleep 0.1``), or after so much time of a processor (``compute 0.05``)."""
    match message.split():
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["compute", seconds]:
            until = time.process_time() + float(seconds)
            while time.process_time() < until:
                sum(range(1000))
    return "Done."
