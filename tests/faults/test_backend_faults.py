"""Faulty backend code: it ends its own run, and neither delays other streams nor keeps the server from stopping."""

from __future__ import annotations

import time

import pytest

from tests.faults.faulty_backend import ANSWER
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
BUSY = 5  # factor beside other tests
MAX_GROWTH = 80 * 2**20  # bytes of the server's memory
MAX_ANSWER = 1_000_000  # bytes

# The most harmful ones; `make e2e` runs the others too, beside other tests.
WORST = [
    ("auto", "ask", "flood_text"),
    ("auto", "ask", "flood_log"),
    ("greenlet", "ask", "flood_reports"),
    ("greenlet", "generate", "endless"),
    ("auto", "ask_async", "interrupt_in_a_task"),
    ("auto", "ask_async", "block_the_loop"),
    ("auto", "generate_async", "endless"),
]
FLOODS = ("flood_text", "flood_reasoning", "flood_both", "flood_reports")
FOR_THREADS = (*FLOODS, "flood_log", "flood_output", "compute", "raise_in_threads", "ignore_cancellation")
FOR_A_LOOP = (
    *("exit_in_a_task", "interrupt_in_a_task", "stop_the_loop", "close_the_loop", "suppress_cancellation"),
    *("block_the_loop", "spin_with_turns", "start_tasks_without_end"),
)
GENERATORS = ("endless", "empty", "large", "pieces 3000000")
ALL = [
    *[("auto", "ask", fault) for fault in FOR_THREADS],
    *[("greenlet", "ask", fault) for fault in (*FLOODS, "flood_log", "ignore_cancellation")],
    *[("auto", "ask_async", fault) for fault in FOR_A_LOOP],
    *[(executor, "generate", fault) for executor in ("auto", "greenlet") for fault in GENERATORS],
    *[("auto", "generate_async", fault) for fault in GENERATORS],
]


def ask(server: ServerProcess, message: str):
    return server.post(SMART, {"username": "x", "message": message}, stream=True)


def start(executor: str, function: str, **settings: object) -> ServerProcess:
    backend = f"tests.faults.faulty_backend:{function}"
    return serve(backend, executor=executor, max_answer_bytes=MAX_ANSWER, **settings)


def check(executor: str, function: str, fault: str, factor: float = 1.0) -> bool:
    """Check the progress of others, correct queries, memory and the shutdown, beside three faulty queries.

    Return whether health and progress were in time.
    """
    server = start(executor, function, drain=DRAIN, timeout=90)
    before = memory_bytes(server.process.pid)
    with neighbours(server, OBSERVED) as found:
        faulty = [ask(server, fault) for _ in range(3)]
        beside = ask(server, "0")
    grown = memory_bytes(server.process.pid) - before
    assert answer(read(beside)) == ANSWER
    assert answer(read(ask(server, "0"))) == ANSWER
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(60) == 0
    assert time.monotonic() - began <= DRAIN + STOP * factor
    for response in faulty:
        response.close()
    server.stop()
    [seen] = found
    assert seen.broken == 0
    assert grown <= MAX_GROWTH
    print(f"health {max(seen.health):.3f} s, progress p99 {seen.late_p99:.3f} s")
    return max(seen.health) <= MAX_HEALTH * factor and seen.late_p99 <= MAX_LATE * factor


@pytest.mark.alone
@pytest.mark.parametrize(("executor", "function", "fault"), WORST)
def test_a_faulty_query_harms_no_other(executor: str, function: str, fault: str):
    """In one of three attempts: other load on the machine only adds to the delays."""
    assert any(check(executor, function, fault) for _ in range(3))


@pytest.mark.heavy
@pytest.mark.parametrize(("executor", "function", "fault"), [each for each in ALL if each not in WORST])
def test_no_faulty_query_harms_others(executor: str, function: str, fault: str):
    """The same, with more patience."""
    assert check(executor, function, fault, BUSY)


@pytest.mark.parametrize(("executor", "function"), [("thread", "generate"), ("auto", "generate_async")])
def test_a_generator_that_never_waits_is_closed_when_its_run_ends(executor: str, function: str):
    """Its thread is free again, and so is the event loop."""
    server = start(executor, function, threads=2)
    for _ in range(4):
        endless = ask(server, "empty")
        server.post(f"/api/runs/{endless.headers['X-Run-Id']}/cancel")
        assert read(endless)[-1].data["status"] == "cancelled"
    assert answer(read(ask(server, "0"))) == ANSWER
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("executor", "function"), [("auto", "generate"), ("greenlet", "generate"), ("auto", "generate_async")]
)
def test_an_answer_over_the_limit_fails_promptly(executor: str, function: str):
    """Long before its generator ends, and without an end of the process: another query of it goes on."""
    server = start(executor, function)
    other = ask(server, "2")
    for fault in ("large", "emoji", "endless"):
        began = time.monotonic()
        assert read(ask(server, fault))[-1].data["code"] == "answer_too_large"
        assert time.monotonic() - began < 20.0
    assert answer(read(other)) == ANSWER
    assert server.stop() == 0


def test_surplus_log_lines_in_a_greenlet_are_dropped():
    """Beside it other queries are answered, and it can be cancelled."""
    server = start("greenlet", "ask")
    flooding = ask(server, "flood_log")
    server.wait_for_log("log lines were dropped: the code of backends may write 1,000 per second")
    assert answer(read(ask(server, "0"))) == ANSWER
    server.post(f"/api/runs/{flooding.headers['X-Run-Id']}/cancel")
    assert read(flooding)[-1].data["status"] == "cancelled"
    assert server.stop() == 0


def test_surplus_log_lines_are_dropped():
    """And counted in the log; a long line is cut."""
    server = start("auto", "ask")
    assert read(ask(server, "log_a_long_line"))[-1].data["status"] == "complete"
    server.wait_for_log("... (100,000,000 characters)")
    flooding = ask(server, "flood_log")
    server.wait_for_log("log lines were dropped: a worker may write 1,000 per second")
    flooding.close()
    assert server.stop() == 0
