"""`/api/chat`: a run with one response."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.server_process import ServerProcess


def chat(server: ServerProcess, username: str, message: str, **more):
    return server.post("/api/chat", {"username": username, "message": message, "conversation_id": "chat_1", **more})


def test_the_answer_is_one_response(server: ServerProcess):
    """With the run id, so that the run can be read later."""
    response = chat(server, "slow", "0.5")
    body = response.json()
    assert body.pop("total_time") == pytest.approx(0.5, abs=0.2)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert body == {
        "success": True, "data": ENGLISH + CHINESE, "status": "complete", "is_complete": True,
        "run_id": response.headers["X-Run-Id"], "conversation_id": "chat_1", "usage": None,
    }  # fmt: skip
    assert server.get(response.headers["Location"]).status_code == 200


def test_usage_is_included_if_known(server: ServerProcess):
    """As the backend reported it."""
    usage = chat(server, "echo", "Hello").json()["usage"]
    assert usage == {"input_tokens": 5, "output_tokens": 5, "estimated": False}


@pytest.mark.parametrize(
    ("username", "message", "status", "code"),
    [
        ("failing", "deliberate", 502, "backend_error"),
        ("failing", "exception", 500, "internal"),
        ("failing", "large", 500, "answer_too_large"),
        ("slow", "30", 504, "timeout"),
    ],
)
def test_failures_have_their_true_status(server: ServerProcess, username: str, message: str, status: int, code: str):
    """And the body of the final event."""
    response = chat(server, username, message)
    assert response.status_code == status
    body = response.json()
    assert (body["success"], body["code"], body["is_complete"]) == (False, code, True)


def test_a_cancelled_run_is_a_conflict(server: ServerProcess):
    """The waiting client receives 409."""
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(chat, server, "slow", "5.5")
        run_id = None
        while run_id is None and not answer.done():
            running = [run for run in server.get("/api/runs").json()["runs"] if run["status"] == "processing"]
            run_id = running[0]["run_id"] if running else None
        server.post(f"/api/runs/{run_id}/cancel")
        response = answer.result()
    assert (response.status_code, response.json()["status"]) == (409, "cancelled")
