"""Backends whose messages name a fault, for the tests of the damage that one query can do to others."""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress

from persona_stream import Query

logger = logging.getLogger("my.bot")
ANSWER = "A correct answer."
LARGE = "x" * 900_000
LARGE_ANSWERS = {
    "dots": "." * (2**24 - 8),
    "families": "👩‍👩‍👧" * (2**24 // 18),
    "addresses": "see https://example.org/a/b?c=d " * (2**23 // 32),
    "Hindi": "किताब पढ़ो। " * (2**24 // 34),
    "Chinese": "这个句子没有句号，有逗号" * (2**24 // 36),
    "quotes": '"' * 2**22,
}


def flood_text(query: Query) -> None:
    """Send text without end."""
    while True:
        query.send("t ")


def flood_reasoning(query: Query) -> None:
    """Send reasoning without end."""
    while True:
        query.send_reasoning("t ")


def flood_both(query: Query) -> None:
    """Send reasoning and text in turns, without end."""
    while True:
        query.send_reasoning("r ")
        query.send("t ")


def flood_reports(query: Query) -> None:
    """Report progress without end."""
    while True:
        query.report("Working", 0.5)


def flood_log(query: Query) -> None:
    """Write log lines without end."""
    while True:
        logger.warning("a line of %s", "log" * 10)


def log_a_long_line(query: Query) -> None:
    """Write one line."""
    logger.warning("x" * 100_000_000)


def flood_output(query: Query) -> None:
    """Print without end."""
    while True:
        print("a line of output" * 3)


def compute(query: Query) -> None:
    """Compute without end."""
    while True:
        sum(range(1000))


def ignore_cancellation(query: Query) -> None:
    """Wait, whatever is raised."""
    while True:
        with suppress(BaseException):
            time.sleep(60)


def raise_in_threads(query: Query) -> None:
    """Start threads without end that print tracebacks."""
    import threading

    while True:
        threading.Thread(target=lambda: 1 / 0).start()
        time.sleep(0.001)


def hang_at_exit(query: Query) -> None:
    """Register an exit handler that does not end, as some libraries do for their threads."""
    atexit.register(time.sleep, 600)


def leave_a_thread(query: Query) -> None:
    """Leave a thread that is no daemon, and that does not end."""
    import threading

    threading.Thread(target=time.sleep, args=(600,)).start()


_FAULTS: Mapping[str, Callable[[Query], None]] = {
    each.__name__: each
    for each in (
        *(flood_text, flood_reasoning, flood_both, flood_reports, flood_log, log_a_long_line, flood_output, compute),
        *(ignore_cancellation, raise_in_threads, hang_at_exit, leave_a_thread),
    )
}


def ask(query: Query) -> str:
    """Answer after the number of seconds in the message, or commit the fault that it names."""
    if query.message in _FAULTS:
        _FAULTS[query.message](query)
        return ANSWER
    if query.message in LARGE_ANSWERS:
        return LARGE_ANSWERS[query.message]
    time.sleep(float(query.message))
    return ANSWER


def generate(query: Query) -> Iterator[str]:
    """Yield ``ANSWER`` after a number of seconds, or many pieces."""
    match query.message.split():
        case ["endless"]:
            while True:
                yield "t "
        case ["empty"]:
            while True:
                yield ""
        case ["large"]:
            while True:
                yield LARGE
        case ["emoji"]:
            yield "👩‍👩‍👧" * 2_000_000
        case ["pieces", count]:
            for _ in range(int(count)):
                yield "t"
        case [kind] if kind in LARGE_ANSWERS:
            yield LARGE_ANSWERS[kind]
        case [seconds]:
            time.sleep(float(seconds))
            yield ANSWER


async def exit_in_a_task() -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.gather(leave())


async def interrupt_in_a_task() -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    await asyncio.gather(interrupt())


async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def close_the_loop() -> None:
    loop = asyncio.get_running_loop()
    loop.stop()
    loop.call_soon(loop.close)
    await asyncio.sleep(60)


async def suppress_cancellation() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def block_the_loop() -> None:
    while True:
        sum(range(1000))


async def spin_with_turns() -> None:
    while True:
        await asyncio.sleep(0)


async def start_tasks_without_end() -> None:
    tasks = []
    while True:
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        await asyncio.sleep(0.001)


_ASYNC_FAULTS = {
    each.__name__: each
    for each in (
        *(exit_in_a_task, interrupt_in_a_task, stop_the_loop, close_the_loop, suppress_cancellation),
        *(block_the_loop, spin_with_turns, start_tasks_without_end),
    )
}


async def ask_async(query: Query) -> str:
    """Answer after the number of seconds in the message, or commit the fault that it names."""
    if query.message in _ASYNC_FAULTS:
        await _ASYNC_FAULTS[query.message]()
        return ""
    await asyncio.sleep(float(query.message))
    return ANSWER


async def generate_async(query: Query) -> AsyncIterator[str]:
    """Yield ``ANSWER`` after a number of seconds, or many pieces without ever waiting."""
    match query.message.split():
        case ["endless"]:
            while True:
                yield "t "
        case ["empty"]:
            while True:
                yield ""
        case ["large"]:
            while True:
                yield LARGE
        case ["emoji"]:
            yield "👩‍👩‍👧" * 2_000_000
        case ["pieces", count]:
            for _ in range(int(count)):
                yield "t"
        case [seconds]:
            await asyncio.sleep(float(seconds))
            yield ANSWER
