"""Functions that worker processes run: each does what its message says, some of it the worst that code can do."""

from __future__ import annotations

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
from persona_stream.core.query import UpstreamCall

_FOR_EVER = 60  # seconds: longer than any test waits


class Name(str):
    """Be a kind of text that is nobody's but ours."""


@dataclass(frozen=True)
class MyAnswer(Answer):
    """Be a kind of answer."""


def echo(rest: str, query: Query) -> str:
    """Say what was asked, and what came with it."""
    return f"{rest} {query.username} {dict(query.parameters)}"


def pid(rest: str, query: Query) -> str:
    """Say in which process this runs."""
    return str(os.getpid())


def crash(rest: str, query: Query) -> str:
    """Read what is nowhere."""
    ctypes.string_at(0)
    return "still there"


def leave(rest: str, query: Query) -> str:
    """End the process without a word."""
    os._exit(int(rest))


def hoard(rest: str, query: Query) -> str:
    """Take more memory than there is."""
    resource.setrlimit(resource.RLIMIT_AS, (2**29, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return "x" * 2**31


def spin(rest: str, query: Query) -> str:
    """Compute for ever."""
    while True:
        sum(range(1000))


def clean(rest: str, query: Query) -> str:
    """Wait for ever, and clean up."""
    try:
        time.sleep(_FOR_EVER)
    finally:
        Path(rest).write_text("cleaned")
    return ""


def deaf(rest: str, query: Query) -> str:
    """Hold out against what Python can hold out against."""
    Path(rest).write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(_FOR_EVER)
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def parent(rest: str, query: Query) -> str:
    """Start a process, and wait for it."""
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({_FOR_EVER})"])
    Path(rest).write_text(str(child.pid))
    child.wait()
    return ""


def nap(rest: str, query: Query) -> str:
    """Sleep."""
    time.sleep(float(rest))
    return "slept"


def cooperate(rest: str, query: Query) -> str:
    """Sleep until nobody waits."""
    return "Nobody waits." if query.cancelled.wait(60) else "Slept."


def tell(rest: str, query: Query) -> Answer:
    """Tell everything that can be told, in an order."""
    query.report("Reading", 0.5)
    query.send_reasoning("Hm")
    query.send_reasoning(".")
    query.send("One ")
    query.send("half \ud83d")
    query.send("\ude00 ")
    query.record_upstream_call(
        UpstreamCall(
            provider="openai", model="m", url="u", request={"a": {1, 2}}, response=None, began_at=1.0, seconds=2.0
        )
    )
    return Answer("end.")


def flood(rest: str, query: Query) -> str:
    """Tell a lot of little, and fast."""
    for number in range(int(rest)):
        query.report(f"Page {number}", None)
        query.send(f"{number} ")
    return "end"


def outlive(rest: str, query: Query) -> str:
    """Leave a thread that tells for the query that is over."""

    def go_on() -> None:
        time.sleep(0.3)  # until the query is over, which nothing tells this thread
        query.send("from the grave")

    threading.Thread(target=go_on).start()
    return "over"


def whole(rest: str, query: Query) -> Answer:
    """Give an answer with everything in it, of kinds of our own."""
    return MyAnswer(
        Name("text"),
        reasoning="why",
        usage=Usage(input_tokens=1, output_tokens=2),
        raw={"of": Name("ours"), "object": object},
        finish="tools",
        calls=(ToolCall("1", "look", "{}"),),
    )


def foreign(rest: str, query: Query) -> object:
    """Give what is no answer."""
    locked = Answer(threading.Lock())  # type: ignore[arg-type] # no text, and nothing that another process could have
    return {"lambda": lambda: 1, "none": None, "answer": locked}[rest]


def large(rest: str, query: Query) -> str:
    """Give a large answer."""
    return "x" * int(rest)


def send_large(rest: str, query: Query) -> str:
    """Send a large part."""
    query.send("x" * int(rest))
    return ""


def fail(rest: str, query: Query) -> str:
    """Raise."""
    errors: Mapping[str, BaseException] = {
        "deliberate": BackendError("The library is closed."),
        "unavailable": BackendUnavailable("Nobody is there."),
        "mistake": ValueError("a secret detail"),
        "exit": SystemExit(3),
        "circle": RecursionError(),
    }
    raise errors[rest]


def log(rest: str, query: Query) -> str:
    """Log, and print."""
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
        *(
            echo,
            pid,
            crash,
            leave,
            hoard,
            spin,
            clean,
            deaf,
            parent,
            nap,
            cooperate,
            tell,
            flood,
            outlive,
            whole,
            foreign,
        ),
        *(large, send_large, fail, log),
    )
}


def ask(query: Query) -> object:
    """Do what the message says."""
    name, _, rest = query.message.partition(" ")
    return _BY_NAME[name](rest, query)


def count(message: str) -> Iterator[str]:
    """Generate."""
    yield from message.split()
