"""Steps of the system time while runs wait, as NTP or a virtual machine that continues makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.server_process import serve, token
from tests.sse_client import answer, read

DAY = 86_400


@pytest.mark.parametrize("seconds", [-DAY, 3 * DAY, -365 * DAY])
def test_a_step_of_the_clock_delays_and_loses_nothing(tmp_path: Path, seconds: int) -> None:
    """Neither a deadline nor progress follows the system time (canonical/cloud-init #2423, redis/redis #416).

    The dates in tokens do, and what has begun with a valid one continues.
    """
    offset = tmp_path / "offset"
    offset.write_text("0")
    server = serve(
        "tests.backends_for_tests:chosen",
        {"CLOCK_OFFSET_FILE": str(offset)},
        module="tests.http.stepped_clock",
        executor="greenlet",
        timeout=4,
        rate_limit="3/minute",
    )
    quick = server.post("/api/stream_chat_smart", {"username": "slow", "message": "3"}, stream=True)
    endless = server.post("/api/stream_chat_smart", {"username": "slow", "message": "60"}, stream=True)
    offset.write_text(str(seconds))
    received = read(quick)
    assert received[-1].data["status"] == "complete"
    elapsed = [event.data["elapsed_time"] for event in received if "elapsed_time" in event.data]
    assert elapsed == sorted(elapsed)
    assert 2.5 < received[-1].data["total_time"] < 60
    assert read(endless)[-1].data["status"] == "timeout"
    run = f"{server.url}/api/runs/{quick.headers['X-Run-Id']}"
    expired = requests.get(run, headers=server.headers(), timeout=20)
    assert expired.status_code == (401 if seconds > 0 else 200)
    valid = {"Authorization": f"Bearer {token(expires=10 * DAY)}"}
    assert requests.get(run, headers=valid, timeout=20).json()["status"] == "complete"
    again = requests.get(f"{run}/events", headers=valid, timeout=20, stream=True)
    assert answer(read(again)) == answer(received)
    fresh = requests.post(
        f"{server.url}/api/chat", json={"username": "quick", "message": "Hi"}, headers=valid, timeout=20
    )
    assert fresh.json()["data"] == "You said: Hi"
    assert server.stop() == 0
