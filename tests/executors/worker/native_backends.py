"""Functions that need an unpatched process, as real backends do: native threads, processes and event loops."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import ctypes
import logging
import multiprocessing
import os
import pathlib
import queue
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

logger = logging.getLogger("my.bot")
leaked: list[object] = []
_lock = threading.Lock()


def log_and_lock(rest: str) -> None:
    for number in range(5):
        with _lock:
            time.sleep(0.001)
        logger.debug("step %d", number)


def warn(rest: str) -> None:
    logger.warning("a line of the backend")


def run_subprocess(rest: str) -> None:
    done = subprocess.run([sys.executable, "-c", "print('hi')"], capture_output=True, text=True, check=True)
    assert done.stdout == "hi\n"


def asyncio_run(rest: str) -> None:
    async def main() -> int:
        return sum(await asyncio.gather(*(asyncio.sleep(0.01, result=number) for number in range(3))))

    assert asyncio.run(main()) == 3


def current_event_loop(rest: str) -> None:
    loop = asyncio.get_event_loop()
    assert loop.run_until_complete(asyncio.sleep(0.01, "done")) == "done"
    assert asyncio.get_event_loop() is loop
    if rest == "close":
        loop.close()


def fork(rest: str) -> None:
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, b"child")
        if rest == "return":
            return
        if rest == "raise":
            raise ValueError("of the child")
        sys.exit(int(rest))
    assert os.read(reading, 10) == b"child"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == {"return": 0, "raise": 1}.get(rest, 3), code


def patch_with_gevent(rest: str) -> None:
    from gevent import monkey
    from gevent.monkey import patch_thread

    monkey.patch_all()
    patch_thread()
    assert not monkey.is_module_patched("socket")
    own_threads(rest)
    run_subprocess(rest)


def pool(rest: str) -> None:
    with multiprocessing.Pool(2) as workers:
        assert workers.map(abs, [-1, -2]) == [1, 2]


def process_pool(rest: str) -> None:
    with concurrent.futures.ProcessPoolExecutor(1) as workers:
        assert list(workers.map(abs, [-1, -2])) == [1, 2]


def own_threads(rest: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as workers:
        assert list(workers.map(abs, [-1, -2])) == [1, 2]


def sqlite(rest: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def queue_between_threads(rest: str) -> None:
    answers: queue.Queue[str] = queue.Queue()
    threading.Timer(0.01, answers.put, ["hi"]).start()
    assert answers.get(timeout=5) == "hi"


def asyncio_subprocess(rest: str) -> None:
    asyncio.run(run_async_subprocess(rest))


def hold_the_lock(rest: str) -> None:
    """Wait in C without releasing the interpreter lock."""
    ctypes.PyDLL(None).sleep(int(rest))


def spin(rest: str) -> None:
    until = time.monotonic() + float(rest)
    while time.monotonic() < until:
        sum(range(1000))


def leave_process(rest: str) -> None:
    os._exit(int(rest))


def close_files(rest: str) -> None:
    """Close all files, as code does that becomes a daemon."""
    os.closerange(int(rest), 65_536)


def append_line(rest: str) -> None:
    with pathlib.Path(rest).open("a") as file:
        file.write("begun\n")


def interrupt_main(rest: str) -> None:
    _thread.interrupt_main()


def trace(rest: str) -> None:
    """Leave a trace function behind that fails at the next call, as debuggers and profilers do."""

    def fail(*_: object) -> None:
        raise RuntimeError("the trace function fails")

    sys.settrace(fail)


def use_files(rest: str) -> None:
    """Open all the files that this process may open, and leave them open, or close them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    opened = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        if rest == "leak":
            leaked.extend(opened)
        else:
            for each in opened:
                os.close(each)


def terminate_itself(rest: str) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


_FUNCTIONS = {
    "subprocess": run_subprocess,
    "exit": leave_process,
    **{
        each.__name__: each
        for each in (
            *(log_and_lock, asyncio_run, pool, process_pool, own_threads, sqlite, queue_between_threads),
            *(asyncio_subprocess, hold_the_lock, spin, current_event_loop, fork, patch_with_gevent),
            *(append_line, close_files, interrupt_main, terminate_itself, trace, warn, use_files),
        )
    },
}


def ask(message: str) -> str:
    """Call the function that the message names."""
    name, _, rest = message.partition(" ")
    _FUNCTIONS[name](rest)
    return f"{name} worked"


async def log_in_to_thread(rest: str) -> None:
    for _ in range(5):
        logger.debug("on the loop")
        await asyncio.to_thread(logger.debug, "in a thread")


async def run_async_subprocess(rest: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('hi')", stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output == b"hi\n"


async def own_executor(rest: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        assert await asyncio.get_running_loop().run_in_executor(workers, abs, -1) == 1


async def threads(rest: str) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set)).start()
    await asyncio.wait_for(done.wait(), 5)


async def getaddrinfo(rest: str) -> None:
    assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def exit_in_a_task(rest: str) -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.gather(leave())


async def interrupt_in_a_task(rest: str) -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    await asyncio.gather(interrupt())


async def stop_the_loop(rest: str) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


async def raise_in_a_callback(rest: str) -> None:
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0.01)


async def block(rest: str) -> None:
    seconds = float(rest)
    time.sleep(seconds)


async def async_fork(rest: str) -> None:
    fork(rest)


async def freeze_the_clock(rest: str) -> None:
    original = time.monotonic
    time.monotonic = lambda: 1e9
    try:
        await asyncio.sleep(float(rest))
    finally:
        time.monotonic = original


async def async_trace(rest: str) -> None:
    trace(rest)


async def sleep(rest: str) -> None:
    await asyncio.sleep(float(rest))


_ASYNC_FUNCTIONS = {
    "subprocess": run_async_subprocess,
    **{
        each.__name__: each
        for each in (
            *(log_in_to_thread, own_executor, threads, getaddrinfo, exit_in_a_task, interrupt_in_a_task),
            *(stop_the_loop, raise_in_a_callback, block, async_fork, async_trace, sleep, freeze_the_clock),
        )
    },
}


async def ask_async(message: str) -> str:
    """Await the function that the message names."""
    name, _, rest = message.partition(" ")
    await _ASYNC_FUNCTIONS[name](rest)
    return f"{name} worked"


def generate(message: str) -> Iterator[str | None]:
    """Generate a text twice or for ever, after a delta without text."""
    yield None
    while True:
        yield f"{message} "
        if message == "twice":
            return
        time.sleep(0.01)


async def generate_async(message: str) -> AsyncIterator[str]:
    """Generate a text twice or for ever."""
    while True:
        yield f"{message} "
        if message == "twice":
            return
        await asyncio.sleep(0.01)
