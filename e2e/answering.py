"""What a server answers with in these tests: the message says how."""

from __future__ import annotations

import time

from persona_stream import Answer, BackendError, Query

TEXT = "你好！The answer is 42 👩‍👩‍👧‍👦. See https://example.org/a?b=1.5, e.g. 3.14.\n\nAsk again."


def ask(query: Query) -> Answer:
    """Be silent for as many seconds as the message says, or fail when it says so."""
    if query.message == "fail":
        raise BackendError("The library is closed today.")
    time.sleep(float(query.message))
    return Answer(TEXT, reasoning="Six times seven.")
