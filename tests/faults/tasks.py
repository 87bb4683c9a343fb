"""A backend that does what it is told to, and counts what its process holds when it is asked for that."""

from __future__ import annotations

import gc
import json
import time

from greenlet import greenlet

from persona_stream import BackendError, Query

_SENTENCE = "One. Two, three; four! Five? 六七八九。👩‍👩‍👧 "
_LONG = f"{'𝔞' * 199} " * 60  # words that are pieces by themselves: much to read, and soon delivered
FAULT = "what this backend raises when it is told to"


def answer(message: str) -> str:
    """Give the answer to a message, whose verb is ``answer``, ``send`` or ``long``."""
    if message.startswith("long"):
        return f"{_LONG}{message}"
    return f"{_SENTENCE * 4}{message}"


def work(query: Query) -> str:
    """Do what the verb of a message says, after as many seconds as its second word says."""
    verb, seconds, *_ = query.message.split()
    if verb == "census":
        return census()
    whole = answer(query.message)
    if verb == "send":
        for start in range(0, 60, 20):
            time.sleep(float(seconds) / 3)  # as a model does, between two parts
            query.send(whole[start : start + 20])
        return whole[60:]
    until = time.monotonic() + float(seconds)
    while (left := until - time.monotonic()) > 0:
        query.report("Working", None)
        time.sleep(min(0.5, left))  # as slow as it is told to be
    if verb == "refuse":
        raise BackendError("The library is closed today.")
    if verb == "raise":
        raise ValueError(FAULT)
    return whole


def census() -> str:
    """Count the greenlets of this process, and all objects that can hold others, as JSON."""
    gc.collect()
    objects = gc.get_objects()
    alive = sum(isinstance(each, greenlet) and not each.dead for each in objects)
    return json.dumps({"greenlets": alive, "objects": len(objects)})
