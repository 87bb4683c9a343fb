"""Faulty backend code: it ends its own run, and neither delays other streams nor keeps the server from stopping."""

from __future__ import annotations

import time

import pytest

from tests.faults.backend_check import ALL, QUICK, Fault, ask, attempt, start
from tests.faults.faulty_backend import ANSWER
from tests.sse_client import answer, read

BUSY = 5  # factor beside other tests


@pytest.mark.alone
@pytest.mark.parametrize("fault", QUICK, ids=" ".join)
def test_a_faulty_query_harms_no_other(fault: Fault):
    """Health, progress of others, later queries, memory and the shutdown; in one of three attempts."""
    assert attempt(fault) == []


@pytest.mark.heavy
@pytest.mark.parametrize("fault", [fault for fault in ALL if fault not in QUICK], ids=" ".join)
def test_no_faulty_query_harms_others(fault: Fault):
    """The same, with more patience."""
    assert attempt(fault, 2, BUSY) == []


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


@pytest.mark.parametrize("fault", ["hang_at_exit", "leave_a_thread"])
@pytest.mark.parametrize("executor", ["greenlet", "thread", "process"])
def test_code_that_does_not_end_with_its_process_is_not_waited_for(executor: str, fault: str):
    """Longer than five seconds (huggingface/transformers PR 47371, sgl-project/sglang PR 19008)."""
    server = start(executor, "ask", drain=1)
    assert answer(read(ask(server, fault))) == ANSWER
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(60) == 0
    assert time.monotonic() - began < 20.0
    server.stop()
