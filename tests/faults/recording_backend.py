"""Backend that records each call in a file, shared by all processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from persona_stream import Query

TEXT = "One. Two, three; four! Five? 六七八九。👩‍👩‍👧 "


def answer(message: str) -> str:
    """Return the answer of ``ask`` to a message."""
    return f"{TEXT * 12}{message}"


def ask(query: Query) -> str:
    """Answer after the number of seconds at the start of the message."""
    with Path(os.environ["LEDGER"]).open("a", encoding="utf-8") as ledger:
        ledger.write(query.message + "\n")
    until = time.monotonic() + float(query.message.split()[0])
    while (left := until - time.monotonic()) > 0:
        query.report("Working", None)
        time.sleep(min(0.5, left))
    return answer(query.message)
