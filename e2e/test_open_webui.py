"""Requests in the shapes that Open WebUI sends, and the parts of the responses that it reads.

The shapes are those of its ``routers/openai.py`` and ``utils/middleware.py``: headers that name the user, a model with
a system prompt, the tasks that it runs after each answer, and the check of a connection. The published middleware
itself reads streams with statuses (open-webui #8453).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from e2e.backend import TEXT
from e2e.published_clients import place, runs
from e2e.server import Served

USER = {
    "HTTP-Referer": "https://openwebui.com/",
    "X-Title": "Open WebUI",
    "X-OpenWebUI-User-Name": "Ada%20Lovelace",
    "X-OpenWebUI-User-Id": "0b8f2a3e-6f0c-4a51-8a7e-1c5d2f9b7e60",
    "X-OpenWebUI-User-Email": "ada@example.org",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "5f0f6c1e-7f43-4a0e-9a5e-0f7c5c1f2d11",
}
SYSTEM = {"role": "system", "content": "You are talking to Ada Lovelace."}


def chat(message: str) -> dict[str, Any]:
    return {
        "stream": True, "model": "ada", "messages": [SYSTEM, {"role": "user", "content": message}],
        "stream_options": {"include_usage": True}, "temperature": 0.8, "max_tokens": None, "stop": None,
    }  # fmt: skip


def title(message: str) -> dict[str, Any]:
    return {
        "model": "ada", "messages": [{"role": "user", "content": message}], "stream": False,
        "max_completion_tokens": 1000,
    }  # fmt: skip


def post(served: Served, body: dict[str, Any]) -> requests.Response:
    headers = {**USER, "Authorization": f"Bearer {served.token}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{served.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def read(response: requests.Response) -> tuple[str, str, list[dict[str, Any]]]:
    """Return the text, the reasoning and the other chunks of a stream, as the middleware reads it line by line."""
    assert "text/event-stream" in response.headers["Content-Type"]
    text = reasoning = ""
    others = []
    for line in response.content.decode().split("\n"):
        if not line.strip() or not line.startswith("data:") or line == "data: [DONE]":
            continue
        data = json.loads(line.removeprefix("data:").strip())
        if not data.get("choices"):
            others.append(data)
            continue
        delta = data["choices"][0].get("delta", {})
        text += delta.get("content") or ""
        reasoning += delta.get("reasoning_content") or ""
    return text, reasoning, others


def test_a_connection_is_verified_with_the_models(served: Served) -> None:
    """It reads ``data`` and the ids in it."""
    headers = {**USER, "Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    with requests.Session() as session:
        session.trust_env = False
        models = session.get(f"{served.url}/v1/models", headers=headers, timeout=10)
        refused = session.get(f"{served.url}/v1/models", headers={**headers, "Authorization": "Bearer x"}, timeout=10)
    assert [model["id"] for model in models.json()["data"]] == ["backend:use_tool"]
    assert (refused.status_code, "token" in refused.json()["error"]["message"]) == (401, True)


def test_a_chat_and_its_tasks_with_a_slow_backend(served: Served) -> None:
    """The chat streams with its reasoning and its counts, the title comes whole."""
    with ThreadPoolExecutor(2) as pool:
        stream, task = pool.map(lambda body: post(served, body), (chat("20"), title("20")))
    text, reasoning, [usage] = read(stream)
    assert (text, reasoning) == (TEXT, "Six times seven.")
    assert usage["usage"]["total_tokens"] > 0
    assert task.json()["choices"][0]["message"]["content"] == TEXT
    assert runs(served) == ["complete"] * 2


@pytest.mark.parametrize(("message", "status"), [("fail", 502), ("busy", 429), ("crowded", 400)])
def test_a_failure(served: Served, message: str, status: int) -> None:
    """A stream has it as a chunk with ``error``, a whole response as ``error`` with the status; both are shown."""
    _, _, [failed] = read(post(served, chat(message)))
    refused = post(served, title(message))
    assert refused.status_code == status
    assert failed["error"]["message"] == refused.json()["error"]["message"] != ""


def emitted(served: Served, message: str) -> list[dict[str, Any]]:
    """Return the events that the published middleware sends to its page while it reads the stream of an answer."""
    program = Path(__file__).parent / "clients" / "open_webui_python.py"
    done = subprocess.run(
        [place("E2E_OPEN_WEBUI"), program, f"{served.url}/v1", served.token, message],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])  # after its log
    return events


def test_the_middleware_displays_the_statuses_of_a_slow_backend(serve: Callable[..., Served]) -> None:
    """The last one is done before the text, which is whole, with its reasoning."""
    served = serve(backend="backend:ask", heartbeat="status", timeout=40)
    events = emitted(served, "20")
    statuses = [event["data"] for event in events if event["type"] == "status"]
    assert len(statuses) >= 10
    assert [status["done"] for status in statuses] == [False] * (len(statuses) - 1) + [True]
    assert statuses[0]["description"] == "Working on your request... 5%"
    assert statuses[-1]["description"].startswith("Done in 20.")
    [finished] = [event["data"] for event in events if event["type"] == "chat:completion" and "output" in event["data"]]
    texts = {item["type"]: "".join(part["text"] for part in item["content"]) for item in finished["output"]}
    assert texts == {"reasoning": "Six times seven.", "message": TEXT}
    types = [(event["data"] or {}).get("type", event["type"]) for event in events]
    assert max(index for index, kind in enumerate(types) if kind == "status") < types.index(
        "response.output_text.delta"
    )


def test_the_middleware_ends_the_status_of_a_failed_answer(serve: Callable[..., Served]) -> None:
    """It displays the error, and no activity."""
    events = emitted(serve(backend="backend:ask", heartbeat="status"), "fail")
    statuses = [event["data"] for event in events if event["type"] == "status"]
    assert statuses[-1] == {"description": "The library is closed today.", "done": True}
    errors = [event["data"]["error"]["message"] for event in events if event["data"] and "error" in event["data"]]
    assert errors == ["The library is closed today."]
