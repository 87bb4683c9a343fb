"""LiteLLM's proxy as a client of the server, over both protocols."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from e2e.backend import TEXT
from e2e.conftest import KEY

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
# For a client of Anthropic's protocol, the proxy asks ``ours`` over OpenAI's Responses API.
PAIRS = [
    (CHAT, "ours"), (CHAT, "ours-anthropic"), (MESSAGES, "ours"), (MESSAGES, "ours-vllm"), (MESSAGES, "ours-anthropic"),
]  # fmt: skip


def post(port: int, path: str, model: str, message: str, *, stream: bool) -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": message}], "stream": stream, "max_tokens": 999}
    headers = {"Authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://127.0.0.1:{port}{path}"
        return session.post(url, json=body, headers=headers, timeout=60, stream=stream)


def listen(response: requests.Response) -> tuple[list[dict[str, Any]], float]:
    """Return the events of a stream, and the longest silence between two lines of it."""
    events: list[dict[str, Any]] = []
    longest, last = 0.0, time.monotonic()
    for line in response.iter_lines(chunk_size=1):
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            events.append(json.loads(line[5:]))
    return events, longest


def text_of(events: Sequence[dict[str, Any]]) -> str:
    chat = [choice["delta"].get("content") or "" for each in events for choice in each.get("choices", ())]
    messages = [each["delta"].get("text") or "" for each in events if each.get("type") == "content_block_delta"]
    return "".join(chat + messages)


def test_slow_answers_pass_the_proxy(litellm: int) -> None:
    """Whole and as streams, in each pair of protocols. Pings pass where the protocol is the same on both sides."""
    with ThreadPoolExecutor(2 * len(PAIRS)) as pool:
        streams = [pool.submit(lambda p, m: listen(post(litellm, p, m, "20", stream=True)), *pair) for pair in PAIRS]
        whole = [pool.submit(post, litellm, *pair, "20", stream=False) for pair in PAIRS]
    for pair, stream, response in zip(PAIRS, streams, whole, strict=True):
        events, longest = stream.result()
        assert text_of(events) == TEXT, pair
        if pair == (MESSAGES, "ours-anthropic"):
            assert longest < 5.0
            assert [each["type"] for each in events].count("ping") >= 8
        body = response.result().json()
        text = body["choices"][0]["message"]["content"] if "choices" in body else body["content"][-1]["text"]
        assert (response.result().status_code, text) == (200, TEXT), pair


@pytest.mark.parametrize(("path", "model"), PAIRS)
@pytest.mark.parametrize(("message", "status"), [("busy", 429), ("crowded", 400), ("fail", 502)])
def test_errors_keep_their_status(litellm: int, path: str, model: str, message: str, status: int) -> None:
    """So the proxy's own clients raise the right exception."""
    response = post(litellm, path, model, message, stream=False)
    assert response.status_code == status, response.text
