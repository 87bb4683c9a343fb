"""``create_app()`` under other WSGI servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.http.bare import exchange, post, statuses
from tests.polling import wait_for
from tests.ports import free_port
from tests.server_process import ROOT, SECRET, token
from tests.sse_client import answer, events, read

pytestmark = pytest.mark.heavy

FACTORY = "tests.backends_for_tests:served()"
SMART = "/api/stream_chat_smart"


@contextmanager
def running(
    *command: str, cwd: Path = ROOT, health: str = "/healthz", **environ: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server on a free port, which replaces PORT in its command, until the end of the block."""
    port = str(free_port())
    own = {"PERSONA_STREAM_JWT_SECRET": SECRET, "PERSONA_STREAM_DISCONNECT_GRACE": "0", **environ}
    process = subprocess.Popen(
        [sys.executable, *(word.replace("PORT", port) for word in command)],
        cwd=cwd,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return requests.get(url + health, timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):  # it may listen before it can respond
            assert process.poll() is None, process.stdout.read()
            return False

    try:
        wait_for(is_ready, seconds=60)
        yield url, process
    finally:
        process.terminate()
        process.communicate(timeout=30)


SERVERS = {
    "gunicorn gevent": ("-m", "gunicorn", "-k", "gevent", "-b", "127.0.0.1:PORT", "--graceful-timeout", "2", FACTORY),
    "flask run": ("-m", "gevent.monkey", "--module", "flask", "--app", FACTORY, "run", "--port", "PORT"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_streams_flow_and_disconnects_are_detected(kind: str):
    """Events arrive when they are due, and a run is cancelled within an interval after its client disconnects."""
    headers = {"Authorization": f"Bearer {token()}"}
    with running(*SERVERS[kind]) as (url, _):
        body = {"username": "slow", "message": "2.5"}
        got = []
        for event in events(requests.post(url + SMART, json=body, headers=headers, stream=True, timeout=60)):
            got.append(event)
        ticks = [event.at for event in got if event.data["status"] == "processing"]
        assert ticks[1] - ticks[0] == pytest.approx(2.0, abs=0.4)
        assert got[-1].data["status"] == "complete"
        left = requests.post(url + SMART, json={**body, "message": "30"}, headers=headers, stream=True, timeout=60)
        run_id = left.headers["X-Run-Id"]
        left.raw.read(10)
        left.close()
        status_url = f"{url}/api/runs/{run_id}"
        wait_for(lambda: requests.get(status_url, headers=headers, timeout=10).json()["status"] == "cancelled")
        again = read(requests.get(f"{url}/api/runs/{got[0].data['run_id']}/events", headers=headers, timeout=10))
        assert answer(again) == answer(got)


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-5\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nHost: x\r\n\r\n"])
def test_a_body_with_wrong_framing_is_an_error_of_the_client(chunks: bytes):
    """And no traceback in the log (benoitc/gunicorn #2832, pallets/werkzeug #2469)."""
    with running(*SERVERS["gunicorn gevent"]) as (url, process):
        received = exchange(url, post(b"Transfer-Encoding: chunked", b"Connection: close") + chunks)
        process.terminate()
        log = process.communicate(timeout=30)[0]
    assert statuses(received) == [400]
    assert b'"code":"invalid_request"' in received
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "flask", "--app", FACTORY, "run", "--port", "PORT"),
        ("-c", "from persona_stream import create_app; create_app(process_query=lambda message: message)"),
    ],
)
def test_a_process_without_gevents_patches_is_refused(command: tuple[str, ...]):
    """The message has the remedy."""
    environ = {**os.environ, "PERSONA_STREAM_JWT_SECRET": SECRET}
    words = [word.replace("PORT", "0") for word in command]
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "not patched by gevent" in result.stderr
    assert "persona-stream serve" in result.stderr
