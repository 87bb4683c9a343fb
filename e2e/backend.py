"""Backend of the test servers; the message selects its behaviour."""

from __future__ import annotations

import time

from persona_stream import Answer, BackendError, Query

TEXT = "你好！The answer is 42 👩‍👩‍👧‍👦. See https://example.org/a?b=1.5, e.g. 3.14.\n\nAsk again."


def ask(query: Query) -> Answer:
    """Stay silent for the seconds named in the message, or fail on request."""
    if query.message == "fail":
        raise BackendError("The library is closed today.")
    time.sleep(float(query.message))
    return Answer(TEXT, reasoning="Six times seven.")
