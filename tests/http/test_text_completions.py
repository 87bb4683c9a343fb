"""OpenAI's text completions over HTTP, on a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.server_process import ServerProcess
from tests.sse_client import answer, read

PATH = "/v1/completions"


def ask(server: ServerProcess, model: str, prompt: object, **more: Any) -> requests.Response:
    headers = more.pop("headers", {})
    return server.post(PATH, {"model": model, "prompt": prompt, **more}, headers=headers)


def chunks(response: requests.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in response.content.decode().split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_whole_completion(server: ServerProcess):
    """The text, its counts and the ids of the run."""
    response = ask(server, "echo", ["Hi"])
    body = response.json()
    assert body.pop("created") > 1_700_000_000
    assert body == {
        "id": f"cmpl-{response.headers['X-Run-Id']}",
        "object": "text_completion",
        "model": "echo",
        "choices": [{"text": "Hi", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
        "system_fingerprint": None,
    }
    assert response.headers["x-request-id"].startswith("req_")


def test_a_stream_with_progress(server: ServerProcess):
    """Comments while the backend works, then the exact text, then the counts."""
    response = ask(server, "slow", "2.5", stream=True, stream_options={"include_usage": True})
    events = chunks(response)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "".join(each["choices"][0]["text"] for each in events if each["choices"]) == ENGLISH + CHINESE
    assert response.text.count("\n: processing ") == 2
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["total_tokens"] > 0


def test_a_run_can_be_resumed_in_any_protocol(server: ServerProcess):
    """By the id in the header, as a run of chat completions can."""
    run = ask(server, "quick", "Hi", stream=True).headers["X-Run-Id"]
    events = read(server.get(f"/api/runs/{run}/events?from=0"))
    assert answer(events) == "You said: Hi"
    assert "chat.completion.chunk" in server.get(f"/api/runs/{run}/events?from=0&protocol=openai").text
    assert server.get(f"/api/runs/{run}").json()["status"] == "complete"


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2023-06-01"}])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"echo": True}, "echo"),
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_a_rejected_request_names_the_field(
    server: ServerProcess, fields: dict[str, Any], param: str, stream: bool, headers: dict[str, str]
):
    """In OpenAI's form, with the status, in streams too."""
    refused = ask(server, "quick", headers=headers, **{"prompt": "Hi", "stream": stream, **fields})
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_of_the_backend(server: ServerProcess, stream: bool):
    """In a stream as its last event, otherwise with its status."""
    response = ask(server, "failing", "deliberate", stream=stream)
    error = chunks(response)[-1]["error"] if stream else response.json()["error"]
    assert (response.status_code, error["code"]) == (200 if stream else 502, "backend_error")
    assert response.headers.get("x-should-retry") == (None if stream else "false")


def test_an_unknown_token_is_rejected(server: ServerProcess):
    """With OpenAI's code for a wrong key."""
    refused = server.post(PATH, {"model": "quick", "prompt": "Hi"}, headers={"Authorization": "Bearer sk-1"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
