"""SIGTERM drains: nothing new, what runs may finish, and whatever happens every stream gets its ending."""

from __future__ import annotations

import itertools
import signal
import time

import pytest

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.polling import wait_for
from tests.server_process import SECRET, ServerProcess, serve
from tests.sse_client import answer, events, read

SMART = "/api/stream_chat_smart"


def start(server: ServerProcess, message: str, username: str = "slow"):
    return server.post(SMART, {"username": username, "message": message}, stream=True)


def test_an_idle_server_stops_at_once():
    """There is nothing to wait for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        server = serve()
        server.get("/healthz")
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5.0
        server.stop()


def test_while_draining_nothing_starts_and_what_runs_finishes():
    """Readiness says so; the running answer arrives to the character; then the process ends by itself."""
    server = serve("tests.backends_for_tests:chosen")
    response = start(server, "3")
    stream = events(response)
    got = [next(stream)]
    run_id = got[0].data["run_id"]
    assert server.get("/readyz").json() == {"status": "ready"}
    server.process.terminate()
    server.wait_for_log("shutting down")
    ready = server.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")
    assert server.get("/healthz").status_code == 200
    refused = start(server, "0")
    assert (refused.status_code, "draining" in refused.text) == (503, True)
    assert int(refused.headers["Retry-After"]) >= 1
    again = read(server.get(f"/api/runs/{run_id}/events", stream=True))
    got += stream
    assert answer(got) == answer(again) == ENGLISH + CHINESE
    assert got[-1].data["status"] == "complete"
    assert server.process.wait(10) == 0
    server.stop()


def test_what_does_not_finish_in_the_drain_time_ends_with_draining():
    """As an event, not as a broken connection."""
    server = serve("tests.backends_for_tests:chosen", drain=1)
    response = start(server, "30")
    stream = events(response)
    next(stream)
    server.process.terminate()
    began = time.monotonic()
    ending = list(stream)[-1].data
    assert 0.9 < time.monotonic() - began < 4.0
    assert ending == {
        "success": False, "error": "服务器正在关闭，请稍后重试", "code": "draining", "status": "error",
        "is_complete": True,
    }  # fmt: skip
    assert server.process.wait(10) == 0
    server.stop()


def test_a_second_signal_waits_for_nothing_and_cleaning_up_is_done(tmp_path):
    """Streams still get their ending, and `finally` blocks run."""
    (tmp_path / "cleaning.py").write_text(
        "import time\n"
        "def ask(message):\n"
        "    try:\n        time.sleep(60)\n"
        f"    finally:\n        open({str(tmp_path / 'cleaned')!r}, 'w').close()\n"
    )
    server = ServerProcess(["--backend=cleaning:ask", f"--jwt-secret={SECRET}"], {"PYTHONPATH": str(tmp_path)})
    response = start(server, "Hi")
    stream = events(response)
    next(stream)
    server.process.terminate()
    time.sleep(0.3)
    server.process.terminate()
    assert list(stream)[-1].data["code"] == "draining"
    assert server.process.wait(10) == 0
    assert (tmp_path / "cleaned").exists()
    server.stop()


@pytest.mark.parametrize(("executor", "advised"), [("greenlet", True), ("thread", False)])
def test_code_that_blocks_the_hub_is_named_in_the_log(executor: str, advised: bool):
    """With function, line and advice; in a thread it blocks nobody."""
    server = serve("tests.backends_for_tests:chosen", executor=executor)
    read(start(server, "2.2", "spinning"))
    if advised:
        server.wait_for_log("the event loop is free again")
        assert "the event loop has been blocked for over 1 s by spinning() at " in server.log
        assert "backends_for_tests.py:" in server.log
        assert "--executor thread" in server.log
    else:
        assert "blocked" not in server.log
    assert server.stop() == 0


def test_others_move_on_beside_a_thread_that_computes():
    """Progress comes on time while a query spins the CPU in Python."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=4)
    spinning = start(server, "4", "spinning")
    waiting = read(start(server, "4.5"))
    ticks = [event.at for event in waiting if event.data["status"] == "processing"]
    gaps = [later - sooner for sooner, later in itertools.pairwise(ticks)]
    assert gaps == [pytest.approx(2.0, abs=0.5)] * len(gaps)
    assert read(spinning)[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_a_thread_that_cannot_be_stopped_keeps_its_place_until_it_returns():
    """Its readers are told at the deadline; the bound on threads holds."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=1, timeout=1, max_queue=0)
    got = read(start(server, "3"))
    assert got[-1].data["status"] == "timeout"
    server.wait_for_log("keeps its place")
    run = f"/api/runs/{got[0].data['run_id']}"
    assert server.get(run).json()["still_running"] is True
    assert start(server, "0").status_code == 429
    time.sleep(2.5)
    assert "still_running" not in server.get(run).json()
    assert read(start(server, "0"))[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_code_that_cooperates_gives_its_thread_back():
    """It looks at query.cancelled, or sleeps by it: then a thread is free at once, and nobody is told otherwise."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=1, max_queue=0)
    stream = events(start(server, "60", "cooperating"))
    run = f"/api/runs/{next(stream).data['run_id']}"
    assert server.post(f"{run}/cancel").json()["status"] == "cancelled"
    assert list(stream)[-1].data["status"] == "cancelled"
    wait_for(lambda: "still_running" not in server.get(run).json(), 2.0)
    assert read(start(server, "0"))[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_code_that_holds_out_against_being_killed_delays_nobody():
    """The ending is written first; its readers do not wait for it to die."""
    server = serve("tests.backends_for_tests:chosen", timeout=1)
    began = time.monotonic()
    got = read(start(server, "4", "stubborn"))
    assert time.monotonic() - began < 3.0
    assert got[-1].data["status"] == "timeout"
    assert server.stop() == 0


def test_async_functions_are_served_and_killed():
    """On an event loop of their own, with the same deadline."""
    server = serve("tests.backends_for_tests:awaiting", timeout=2)
    assert answer(read(start(server, "0.3"))) == "From the event loop."
    assert read(start(server, "30"))[-1].data["status"] == "timeout"
    assert server.stop() == 0


def test_a_bound_method_is_served_by_name():
    """module:object.method, with parameters named like a query's fields."""
    server = serve("tests.backends_for_tests:house.answer")
    assert answer(read(start(server, "Hi", "anybody"))) == "anybody/zh: Hi"
    assert server.stop() == 0
