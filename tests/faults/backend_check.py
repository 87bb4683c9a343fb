"""Check of faulty backend code: it harms neither other streams nor later queries, and the server can be stopped.

Each fault is committed by three queries at once, beside 20 other streams. A part of ``make chaos``, which prints the
figures; ``python -m tests.faults.backend_check flood`` checks the faults whose name contains a word.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple

import requests

from tests.faults.faulty_backend import ANSWER, LARGE_ANSWERS
from tests.faults.neighbours import neighbours
from tests.faults.process_stats import memory_bytes
from tests.server_process import ServerProcess, serve
from tests.sse_client import answer, read

SMART = "/api/stream_chat_smart"
OBSERVED = 5.0  # seconds: at least two progress events of each stream
DRAIN = 2.0  # seconds
STOP = 3.0  # seconds beyond, for the tasks and the processes to end
MAX_HEALTH = 0.1  # seconds
MAX_LATE = 0.05  # seconds
MAX_GROWTH = 80 * 2**20  # bytes of the server's memory
MAX_ANSWER = 1_000_000  # bytes
LARGE_ANSWER = 2**24  # bytes
ATTEMPTS = 3
WAIT = 60  # seconds


class Fault(NamedTuple):
    """Fault that a query commits: the executor, the function of ``faulty_backend``, and the message that names it."""

    executor: str
    function: str
    message: str

    @property
    def max_answer(self) -> int:
        """Limit of an answer, in bytes."""
        return LARGE_ANSWER if self.message in LARGE_ANSWERS else MAX_ANSWER

    @property
    def max_growth(self) -> int:
        """Limit of the growth of memory, in bytes: each character of three texts may take four, twice."""
        return 3 * 4 * 2 * LARGE_ANSWER if self.message in LARGE_ANSWERS else MAX_GROWTH


# One of each kind, which `make test` checks; the others run in `make e2e`.
QUICK = [
    Fault("auto", "ask", "flood_text"),
    Fault("greenlet", "generate", "endless"),
    Fault("auto", "ask_async", "block_the_loop"),
]
_FLOODS = ("flood_text", "flood_reasoning", "flood_both", "flood_reports", "flood_log")
_FOR_THREADS = (*_FLOODS, "flood_output", "compute", "raise_in_threads", "ignore_cancellation")
_FOR_A_LOOP = (
    *("exit_in_a_task", "interrupt_in_a_task", "stop_the_loop", "close_the_loop", "suppress_cancellation"),
    *("block_the_loop", "spin_with_turns", "start_tasks_without_end"),
)
_GENERATORS = ("endless", "empty", "large", "pieces 3000000")
ALL = [
    *[Fault("auto", "ask", fault) for fault in _FOR_THREADS],
    *[Fault("greenlet", "ask", fault) for fault in (*_FLOODS, "ignore_cancellation")],
    *[Fault("auto", "ask_async", fault) for fault in _FOR_A_LOOP],
    *[Fault(executor, "generate", fault) for executor in ("auto", "greenlet") for fault in _GENERATORS],
    *[Fault("auto", "generate_async", fault) for fault in _GENERATORS],
    *[Fault("auto", "ask", fault) for fault in LARGE_ANSWERS],
    *[Fault("greenlet", function, fault) for function in ("ask", "generate") for fault in LARGE_ANSWERS],
]


class Figures(NamedTuple):
    """Figures of one attempt; durations in seconds."""

    health: float  # longest response of /healthz
    late: float  # delay of 99 % of the progress events
    stop: float  # from SIGTERM to the end of the process
    growth: int  # bytes
    broken: int  # number of other streams that ended
    answered: bool  # whether correct queries beside and after the faulty ones were answered

    def problems(self, fault: Fault, factor: float = 1.0) -> Iterator[str]:
        """Yield what is beyond its limit; those of durations are multiplied by a factor on a busy machine."""
        if self.health > MAX_HEALTH * factor:
            yield f"/healthz took {self.health:.3f} s"
        if self.late > MAX_LATE * factor:
            yield f"progress was {self.late:.3f} s late"
        if self.stop > DRAIN + STOP * factor:
            yield f"the server took {self.stop:.1f} s to stop"
        if self.growth > fault.max_growth:
            yield f"the server's memory grew by {self.growth / 2**20:.0f} MiB"
        if self.broken:
            yield f"{self.broken} other streams ended"
        if not self.answered:
            yield "a correct query was not answered"

    def __str__(self) -> str:
        figures = f"health {self.health:.3f} s, progress p99 {self.late:.3f} s, stop {self.stop:.1f} s"
        return f"{figures}, memory {self.growth / 2**20:+.0f} MiB"


def ask(server: ServerProcess, message: str):
    return server.post(SMART, {"username": "x", "message": message}, stream=True)


def start(executor: str, function: str, **settings: object) -> ServerProcess:
    backend = f"tests.faults.faulty_backend:{function}"
    return serve(backend, executor=executor, **{"max_answer_bytes": MAX_ANSWER, **settings})


def _skip(response: requests.Response) -> None:
    """Read a stream to its end, or until it breaks off."""
    with suppress(requests.RequestException):
        for _ in response.iter_content(65536):
            pass


def measure(fault: Fault) -> Figures:
    """Let three queries commit a fault beside other streams, and stop the server."""
    server = start(fault.executor, fault.function, drain=DRAIN, timeout=90, max_answer_bytes=fault.max_answer)
    before = memory_bytes(server.process.pid)
    with ThreadPoolExecutor(3) as readers:
        with neighbours(server, OBSERVED) as found:
            faulty = [ask(server, fault.message) for _ in range(3)]
            readings = [readers.submit(_skip, response) for response in faulty]
            beside = ask(server, "0")
        if fault.message in LARGE_ANSWERS:  # their delivery takes up to ten seconds, which a shutdown waits for
            wait(readings)
        growth = memory_bytes(server.process.pid) - before
        answered = [answer(read(each)) for each in (beside, ask(server, "0"))] == [ANSWER, ANSWER]
        began = time.monotonic()
        server.process.terminate()
        server.process.wait(WAIT)
        stop = time.monotonic() - began
    server.stop()
    [seen] = found
    return Figures(max(seen.health), seen.late_p99, stop, growth, seen.broken, answered)


def attempt(fault: Fault, attempts: int = ATTEMPTS, factor: float = 1.0) -> list[str]:
    """Return the problems of a fault in its best attempt; print the figures of each.

    Other load on the machine only adds to the delays.
    """
    problems: list[str] = []
    for _ in range(attempts):
        figures = measure(fault)
        problems = list(figures.problems(fault, factor))
        print(f"{' '.join(fault):45} {figures}{''.join(f'; {each}' for each in problems)}", flush=True)
        if not problems:
            break
    return problems


def run(faults: Sequence[Fault] = ALL) -> int:
    """Check faults; return the exit code."""
    print(f"{len(faults)} faults of backend code, each beside 20 other streams, in at most {ATTEMPTS} attempts")
    failed = [" ".join(fault) for fault in faults if attempt(fault)]
    for name in failed:
        print(f"ERROR: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(run([fault for fault in ALL if all(word in " ".join(fault) for word in words)]))
