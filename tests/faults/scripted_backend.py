"""Backend that follows the instructions in the message; it can also count the objects of its process."""

from __future__ import annotations

import ctypes
import gc
import json
import time

from greenlet import greenlet

from persona_stream import BackendError, Query

_SENTENCE = "One. Two, three; four! Five? 六七八九。👩‍👩‍👧 "
_LONG = f"{'𝔞' * 199} " * 60  # each word is a chunk: many bytes in a short delivery
FAULT = "the exception that this backend raises on request"


def answer(message: str) -> str:
    """Return the answer to a message with the verb ``answer``, ``send`` or ``long``."""
    if message.startswith("long"):
        return f"{_LONG}{message}"
    return f"{_SENTENCE * 4}{message}"


def work(query: Query) -> str:
    """Execute the verb of a message after the number of seconds in its second word."""
    verb, seconds, *_ = query.message.split()
    if verb == "census":
        return census()
    if verb == "allocated":
        return str(allocated_bytes())
    whole = answer(query.message)
    if verb == "send":
        for start in range(0, 60, 20):
            time.sleep(float(seconds) / 3)
            query.send(whole[start : start + 20])
        return whole[60:]
    until = time.monotonic() + float(seconds)
    while (left := until - time.monotonic()) > 0:
        query.report("Working", None)
        time.sleep(min(0.5, left))
    if verb == "refuse":
        raise BackendError("The library is closed today.")
    if verb == "raise":
        raise ValueError(FAULT)
    return whole


def census() -> str:
    """Return the numbers of greenlets and of container objects of this process, as JSON."""
    gc.collect()
    objects = gc.get_objects()
    alive = sum(isinstance(each, greenlet) and not each.dead for each in objects)
    return json.dumps({"greenlets": alive, "objects": len(objects)})


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and newer."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


def allocated_bytes() -> int:
    """Return the bytes that are allocated from glibc: all of Python's memory with ``PYTHONMALLOC=malloc``."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _MallocInfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd
