"""Backend of the tests of Celery workers: does what its message says."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path


def ask(message: str) -> Generator[str, None, str]:
    """Sleep, compute, record that it runs, or send words."""
    name, _, rest = message.partition(" ")
    match name:
        case "sleep":
            time.sleep(float(rest))
            yield "slept"
        case "spin":
            until = time.monotonic() + float(rest)
            while time.monotonic() < until:
                sum(range(1000))
        case "record":
            path, _, seconds = rest.partition(" ")
            with Path(path).open("a", encoding="utf-8") as ledger:
                ledger.write("ran\n")
            time.sleep(float(seconds or 0.3))
            yield "recorded"
        case "pid":
            Path(rest).write_text(str(os.getpid()))
            time.sleep(60)  # until it is killed
        case "words":
            for number in range(10 * int(rest)):
                yield f"word {number} "
                time.sleep(0.1)
        case "flood":
            while True:
                yield "flood "
        case "large":
            return "large " * 1000
    return ""
