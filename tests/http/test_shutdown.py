"""Tests of the shutdown: SIGTERM drains, active runs may finish, and every stream gets its ending."""

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
    """On SIGTERM and on SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        server = serve()
        server.get("/healthz")
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5.0
        server.stop()


def test_a_draining_server_refuses_new_runs_and_finishes_active_ones():
    """/readyz reports it; the active run's answer arrives complete; then the process exits."""
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


def test_runs_that_do_not_finish_in_the_drain_time_end_with_draining():
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


def test_a_second_signal_ends_the_drain_and_finally_blocks_run(tmp_path):
    """Streams still get their ending."""
    (tmp_path / "cleaning.py").write_text(
        "import time\n"
        "def ask(message):\n"
        "    try:\n        time.sleep(60)\n"
        f"    finally:\n        open({str(tmp_path / 'cleaned')!r}, 'w').close()\n"
    )
    server = ServerProcess(
        ["--backend=cleaning:ask", "--executor=greenlet", f"--jwt-secret={SECRET}"], {"PYTHONPATH": str(tmp_path)}
    )
    response = start(server, "Hi")
    stream = events(response)
    next(stream)
    server.process.terminate()
    time.sleep(0.3)  # or the two signals would be one
    server.process.terminate()
    assert list(stream)[-1].data["code"] == "draining"
    assert server.process.wait(10) == 0
    assert (tmp_path / "cleaned").exists()
    server.stop()


@pytest.mark.parametrize(("executor", "advised"), [("greenlet", True), ("auto", False)])
def test_code_that_blocks_the_event_loop_is_named_in_the_log(executor: str, advised: bool):
    """With its function, its line and the remedy; in a thread it blocks no stream."""
    server = serve("tests.backends_for_tests:chosen", executor=executor)
    read(start(server, "2.2", "spinning"))
    if advised:
        server.wait_for_log("the event loop is free again")
        assert "the event loop has been blocked for over 1 s by spinning() at " in server.log
        assert "backends_for_tests.py:" in server.log
        assert "--executor auto" in server.log
    else:
        assert "blocked" not in server.log
    assert server.stop() == 0


def test_streams_continue_beside_a_thread_that_computes():
    """Progress arrives on time while a query computes in Python."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=4)
    spinning = start(server, "4", "spinning")
    waiting = read(start(server, "4.5"))
    ticks = [event.at for event in waiting if event.data["status"] == "processing"]
    gaps = [later - sooner for sooner, later in itertools.pairwise(ticks)]
    assert gaps == [pytest.approx(2.0, abs=0.5)] * len(gaps)
    assert read(spinning)[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_a_thread_that_cannot_be_cancelled_releases_its_slot():
    """A worker has spare threads; it is replaced if its code does not stop."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=1, timeout=1, max_queue=0)
    got = read(start(server, "3"))
    assert got[-1].data["status"] == "timeout"
    assert read(start(server, "0"))[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_cooperative_code_releases_its_thread():
    """It waits with query.cancelled: the thread is free at once, and the run is not reported as still running."""
    server = serve("tests.backends_for_tests:chosen", executor="thread", threads=1, max_queue=0)
    stream = events(start(server, "60", "cooperating"))
    run = f"/api/runs/{next(stream).data['run_id']}"
    assert server.post(f"{run}/cancel").json()["status"] == "cancelled"
    assert list(stream)[-1].data["status"] == "cancelled"
    wait_for(lambda: "still_running" not in server.get(run).json(), 2.0)
    assert read(start(server, "0"))[-1].data["status"] == "complete"
    assert server.stop() == 0


def test_code_that_resists_being_killed_delays_no_subscriber():
    """The ending is written before the greenlet is killed."""
    server = serve("tests.backends_for_tests:chosen", timeout=1)
    began = time.monotonic()
    got = read(start(server, "6", "stubborn"))
    assert time.monotonic() - began < 5.0
    assert got[-1].data["status"] == "timeout"
    assert server.stop() == 0


def test_async_functions_are_served_and_cancelled():
    """On an event loop of their own, with the same deadline."""
    server = serve("tests.backends_for_tests:awaiting", timeout=2)
    assert answer(read(start(server, "0.3"))) == "From the event loop."
    assert read(start(server, "30"))[-1].data["status"] == "timeout"
    assert server.stop() == 0


def test_a_bound_method_is_served_by_its_import_path():
    """module:object.method, with parameters named like the fields of a query."""
    server = serve("tests.backends_for_tests:house.answer")
    assert answer(read(start(server, "Hi", "anybody"))) == "anybody/zh: Hi"
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_during_delivery_sends_the_rest_at_once(number: signal.Signals):
    """The text is in memory: no stream loses its end to the pauses between its chunks."""
    server = serve("tests.backends_for_tests:chosen")
    message = "word " * 3000
    stream = events(start(server, message, "quick"))
    got = list(itertools.islice(stream, 8))
    assert got[-1].data["status"] == "streaming"
    server.process.send_signal(number)
    time.sleep(0.5)  # or the two signals would be one
    began = time.monotonic()
    server.process.send_signal(number)
    got += stream
    assert time.monotonic() - began < 5.0
    assert got[-1].data["status"] == "complete"
    assert answer(got).strip() == f"You said: {message.strip()}"
    assert server.process.wait(5) == 0
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_hangup_drains(number: signal.Signals):
    """The active run is finished and delivered; a second hangup changes nothing."""
    server = serve("tests.backends_for_tests:chosen")
    stream = events(start(server, "1.5"))
    next(stream)
    for _ in range(2):
        server.process.send_signal(number)
        time.sleep(0.2)  # or the two signals would be one
    assert list(stream)[-1].data["status"] == "complete"
    assert server.process.wait(10) == 0
    server.stop()


def test_other_signals_are_ignored():
    """They would end the process, and with it every stream, without a drain."""
    server = serve("tests.backends_for_tests:chosen")
    stream = events(start(server, "1.5"))
    next(stream)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):
        server.process.send_signal(number)
        time.sleep(0.1)  # the process handles one after the other
    assert server.get("/readyz").json() == {"status": "ready"}
    assert list(stream)[-1].data["status"] == "complete"
    assert server.stop() == 0
