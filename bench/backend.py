"""The backend that our server is measured with: blocking code, as a user of the package would write it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.workload import ANSWER


def answer(message: str) -> str:
    """Take as many seconds as the message says, then give the text of 500 characters."""
    time.sleep(float(message))
    return ANSWER


def either(message: str) -> str:
    """Do the same; or what a message says that begins with a verb: ``spin 3`` computes in Python for so many seconds,
    and ``gather 20 /tmp/x`` waits until so many have come, who meet in a folder."""
    match message.split():
        case ["spin", seconds]:
            until = time.monotonic() + float(seconds)
            while time.monotonic() < until:
                sum(range(1000))
            return "Computed."
        case ["gather", count, folder]:
            place = Path(folder)
            (place / str(os.getpid())).touch()
            while sum(1 for _ in place.iterdir()) < int(count):
                time.sleep(0.5)  # hundreds look, and leave the processors to those who are still to come
            return "Gathered."
        case _:
            return answer(message)
