"""Backend functions for the tests of executors: each does what its message says, some of it harmful."""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_stream import Answer, BackendError, BackendUnavailable, Query, ToolCall, Usage
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import UpstreamCall

LONG = 60  # seconds: longer than any test waits


class Name(str):
    """String subclass that only this module has."""


@dataclass(frozen=True)
class MyAnswer(Answer):
    """Answer subclass that only this module has."""


class UnprintableError(BackendError):
    """Exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class OddError(BackendError):
    """Exception that uses the names of the fields for values of its own."""

    def __init__(self) -> None:
        super().__init__("Pay first.")
        self.code = 402
        self.retry_after = "soon"


def echo(rest: str, query: Query) -> str:
    """Return the message, the user name and the parameters."""
    return f"{rest} {query.username} {dict(query.parameters)}"


def pid(rest: str, query: Query) -> str:
    """Return the id of the process."""
    return str(os.getpid())


def crash(rest: str, query: Query) -> str:
    """Crash with a segmentation fault."""
    ctypes.string_at(0)
    return "still there"


def leave(rest: str, query: Query) -> str:
    """Exit the process at once."""
    os._exit(int(rest))


def hoard(rest: str, query: Query) -> str:
    """Allocate more memory than is allowed."""
    resource.setrlimit(resource.RLIMIT_AS, (2**29, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return "x" * 2**31


def spin(rest: str, query: Query) -> str:
    """Compute without end."""
    while True:
        sum(range(1000))


def clean(rest: str, query: Query) -> str:
    """Wait, and write a file in ``finally``."""
    try:
        time.sleep(LONG)
    finally:
        Path(rest).write_text("cleaned")
    return ""


def deaf(rest: str, query: Query) -> str:
    """Ignore every exception, SIGTERM's too."""
    Path(rest).write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(LONG)
        except BaseException:  # noqa: BLE001 - the purpose of this function
            continue


def parent(rest: str, query: Query) -> str:
    """Start a process and wait for it."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG})"])
    Path(rest).write_text(str(child.pid))
    child.wait()
    return ""


def nap(rest: str, query: Query) -> str:
    """Sleep."""
    time.sleep(float(rest))
    return "slept"


def cooperate(rest: str, query: Query) -> str:
    """Sleep until the query is cancelled."""
    return "Cancelled." if query.cancelled.wait(60) else "Slept."


def tell(rest: str, query: Query) -> Answer:
    """Send one of each notification."""
    query.report("Reading", 0.5)
    query.send_reasoning("Hm")
    query.send_reasoning(".")
    query.send("One ")
    query.send("half \ud83d")
    query.send("\ude00 ")
    query.send_extras(ProviderFields("openai", {"audio": {"id": "a"}}))
    query.record_upstream_call(
        UpstreamCall(
            provider="openai", model="m", url="u", request={"a": {1, 2}}, response=None, began_at=1.0, seconds=2.0
        )
    )
    return Answer("end.")


def tell_wrong(rest: str, query: Query) -> str:
    """Record a call whose values have the wrong types."""
    call = UpstreamCall(provider="openai", model=None, url="u", request={}, began_at="now", seconds=2.0)  # type: ignore[arg-type]
    try:
        query.record_upstream_call(call)
    except TypeError:
        return "refused"
    return "recorded"


def flood(rest: str, query: Query) -> str:
    """Send many small parts at once."""
    for number in range(int(rest)):
        query.report(f"Page {number}", None)
        query.send(f"{number} ")
    return "end"


def thread(rest: str, query: Query) -> str:
    """Send from a native thread."""
    is_sent: list[bool] = []

    def send() -> None:
        query.send("from a thread")
        is_sent.append(True)

    monkey: Any = sys.modules.get("gevent.monkey")
    start = monkey.get_original("_thread", "start_new_thread") if monkey else _thread.start_new_thread
    start(send, ())
    while not is_sent:
        time.sleep(0.01)
    return ""


def outlive(rest: str, query: Query) -> str:
    """Leave a thread that sends after the query has ended."""

    def go_on() -> None:
        time.sleep(0.3)  # until the query has ended
        query.send("too late")

    threading.Thread(target=go_on).start()
    return "over"


def whole(rest: str, query: Query) -> Answer:
    """Return an answer with every field, of subclasses."""
    return MyAnswer(
        Name("text"),
        reasoning="why",
        usage=Usage(input_tokens=1, output_tokens=2),
        raw={"of": Name("ours"), "object": object},
        finish="tools",
        calls=(ToolCall("1", "look", "{}"),),
    )


def odd_raw(rest: str, query: Query) -> Answer:
    """Return an answer whose raw form cannot be represented."""
    return Answer("text", raw={"of": UnprintableError("x")})


def nested(rest: str, query: Query) -> Answer:
    """Return an answer whose nested values have the wrong type."""
    return Answer("text", usage=Usage(input_tokens="many", output_tokens=2))  # type: ignore[arg-type]  # the wrong type is the point


def foreign(rest: str, query: Query) -> object:
    """Return a value that is no valid answer."""
    locked = Answer(threading.Lock())  # type: ignore[arg-type] # not a string, and not serialisable
    return {"lambda": lambda: 1, "none": None, "answer": locked}[rest]


def large(rest: str, query: Query) -> str:
    """Return a large answer."""
    return "x" * int(rest)


def send_large(rest: str, query: Query) -> str:
    """Send a large part."""
    query.send("x" * int(rest))
    return ""


def fail(rest: str, query: Query) -> str:
    """Raise an exception."""
    errors: Mapping[str, BaseException] = {
        "deliberate": BackendError("The library is closed."),
        "unavailable": BackendUnavailable("Closed for the night."),
        "mistake": ValueError("a secret detail"),
        "exit": SystemExit(3),
        "circle": RecursionError(),
        "unprintable": UnprintableError("x"),
        "odd": OddError(),
        "bool": BackendUnavailable("Closed.", retry_after=True),
    }
    raise errors[rest]


def inquire(rest: str, query: Query) -> str:
    """Ask the user after a text, for as many seconds as the message says."""
    query.send("Let me see. ")
    return f"You said {query.ask('Which file?', choices=['a', 'b'], timeout=float(rest))}"


def log(rest: str, query: Query) -> str:
    """Write to the log, and print."""
    logging.getLogger("my.bot").warning("a line of %s", "mine")
    logging.getLogger("persona_stream.backends").info("a line of theirs")
    thread = threading.Thread(target=logging.getLogger("my.bot").error, args=("from a thread",))
    thread.start()
    thread.join()
    print("printed")
    return "logged"


_BY_NAME: Mapping[str, Callable[[str, Query], Any]] = {
    function.__name__: function
    for function in (
        *(echo, pid, crash, leave, hoard, spin, clean, deaf, parent, nap, cooperate, tell, flood, thread, outlive),
        *(tell_wrong, whole, odd_raw, nested, foreign, large, send_large, fail, log, inquire),
    )
}


def ask(query: Query) -> object:
    """Call the function that the message names."""
    name, _, rest = query.message.partition(" ")
    return _BY_NAME[name](rest, query)


async def ask_async(query: Query) -> object:
    """Call the function that the message names, on an event loop; wait there if that is all it does."""
    name, _, rest = query.message.partition(" ")
    if name == "cooperate":
        await asyncio.sleep(LONG)
    if name == "nap":
        await asyncio.sleep(float(rest))
        return "slept"
    if name == "inquire":
        query.send("Let me see. ")
        return f"You said {await query.ask_async('Which file?', choices=['a', 'b'], timeout=float(rest))}"
    return _BY_NAME[name](rest, query)


def count(message: str) -> Iterator[str]:
    """Generate the words of the message."""
    yield from message.split()
