"""Backend that numbers its answers, so that a test can tell a repeated answer from a new one."""

from __future__ import annotations

import itertools
import os
import time

from persona_stream import Answer, BackendError
from persona_stream.core.query import Query

_numbers = itertools.count(1)


def answer(query: Query) -> str | Answer:
    """Return the number of the query in this process; wait, report or fail as the message says."""
    number = next(_numbers)
    match query.message.split():
        case ["slow", seconds, *_]:
            query.report("Halfway there", 0.5)
            query.cancelled.wait(float(seconds))
        case ["short", seconds, *_]:
            query.cancelled.wait(float(seconds))
            return Answer(f"Answer {number} is cut", finish="length")
        case ["fail", *_]:
            time.sleep(0.3)  # until another query with the same question has arrived
            raise BackendError(f"Failure {number}")
    return f"Answer {number} of process {os.getpid()}: {query.message}"
