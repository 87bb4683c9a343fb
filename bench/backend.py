"""The backend that our server is measured with: blocking code, as a user of the package would write it."""

from __future__ import annotations

import time

from bench.workload import ANSWER


def answer(message: str) -> str:
    """Take as many seconds as the message says, then give the text of 500 characters."""
    time.sleep(float(message))
    return ANSWER
