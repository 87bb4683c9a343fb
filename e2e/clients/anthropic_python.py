"""Run scenarios with the published ``anthropic`` package, and print the results as JSON.

It runs in a separate environment with that package only:
    python anthropic_python.py BASE_URL KEY SCENARIO[,SCENARIO…] MESSAGE
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import anthropic

Told = dict[str, Any]

TOOL = {"name": "weather", "input_schema": {"type": "object"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


class Asked:
    """Ask one question in each way that the package has."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        self.client = anthropic.Anthropic(base_url=base_url, api_key=key)
        self.later = anthropic.AsyncAnthropic(base_url=base_url, api_key=key)
        self.bearer = anthropic.Anthropic(base_url=base_url, auth_token=key, api_key=None)
        self.how: Told = {
            "model": "ada", "max_tokens": 1024, "system": "Be brief.",
            "messages": [{"role": "user", "content": message}],
        }  # fmt: skip

    def whole(self) -> Told:
        """Ask for the whole."""
        return _whole(self.client.messages.create(**self.how))

    def whole_async(self) -> Told:
        """Ask for the whole on an event loop."""
        return _whole(asyncio.run(self.later.messages.create(**self.how)))

    def whole_with_bearer(self) -> Told:
        """Ask with the token in the other header."""
        return _whole(self.bearer.messages.create(**self.how))

    def stream(self) -> Told:
        """Ask for a stream."""
        told = _Heard()
        for event in self.client.messages.create(**self.how, stream=True):
            told.add(event)
        return told.all()

    def stream_async(self) -> Told:
        """Ask for a stream on an event loop."""

        async def listen() -> Told:
            told = _Heard()
            async for event in await self.later.messages.create(**self.how, stream=True):
                told.add(event)
            return told.all()

        return asyncio.run(listen())

    def helper(self) -> Told:
        """Ask with the helper that puts a stream together."""
        with self.client.messages.stream(**self.how) as stream:
            joined = "".join(stream.text_stream)
            return _whole(stream.get_final_message()) | {"joined": joined}

    def helper_async(self) -> Told:
        """Do the same on an event loop."""

        async def listen() -> Told:
            async with self.later.messages.stream(**self.how) as stream:
                joined = "".join([text async for text in stream.text_stream])
                return _whole(await stream.get_final_message()) | {"joined": joined}

        return asyncio.run(listen())

    def impatient(self) -> Told:
        """Bear no more than three silent seconds."""
        self.client = self.client.with_options(timeout=3.0, max_retries=0)
        return self.stream()

    def another_turn(self) -> Told:
        """Send the answer back with its reasoning, and ask again."""
        first = self.client.messages.create(**self.how)
        again = {"role": "user", "content": "0"}
        self.how["messages"] += [{"role": "assistant", "content": first.content}, again]
        return self.helper()

    def tools(self) -> Told:
        """Request an unsupported feature."""
        self.how["tools"] = [TOOL]
        return self.stream()

    def picture(self) -> Told:
        """Send an image, which the backend does not support."""
        self.how["messages"] = [{"role": "user", "content": [PICTURE]}]
        return self.whole()

    def count(self) -> Told:
        """Count the tokens."""
        del self.how["max_tokens"]
        return {"tokens": self.client.messages.count_tokens(**self.how).input_tokens}

    def leave(self) -> Told:
        """Hang up after the first event."""
        stream = self.client.messages.create(**self.how, stream=True)
        first = next(iter(stream))
        stream.close()
        return {"first": first.type}

    def models(self) -> Told:
        """List the models, and get one."""
        names = [model.id for model in self.client.models.list()]
        one = self.client.models.retrieve(names[0])
        return {"names": names, "one": one.id, "display_name": one.display_name}


def _whole(message: Any) -> Told:
    blocks = [block.model_dump() for block in message.content]
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "reasoning": "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        "kinds": [block["type"] for block in blocks],
        "finish": message.stop_reason,
        "tokens": message.usage.output_tokens,
        "given": message.usage.input_tokens,
    }


class _Heard:
    """Put a stream together as a person would."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.tokens = self.given = 0
        self.began = time.monotonic()
        self.first: float | None = None

    def add(self, event: Any) -> None:
        self.first = time.monotonic() - self.began if self.first is None else self.first
        match event.type:
            case "message_start":
                self.given = event.message.usage.input_tokens
            case "content_block_delta" if event.delta.type == "text_delta":
                self.text += event.delta.text
            case "content_block_delta" if event.delta.type == "thinking_delta":
                self.reasoning += event.delta.thinking
            case "message_delta":
                self.finish, self.tokens = event.delta.stop_reason, event.usage.output_tokens

    def all(self) -> Told:
        return {
            "text": self.text, "reasoning": self.reasoning, "finish": self.finish, "tokens": self.tokens,
            "given": self.given, "first": self.first,
        }  # fmt: skip


def main() -> None:
    """Do them."""
    base_url, key, deeds, message = sys.argv[1:]
    print(json.dumps([_do(getattr(Asked(base_url, key, message), deed)) for deed in deeds.split(",")]))


def _do(deed: Callable[[], Told]) -> Told:
    try:
        return deed()
    except anthropic.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return {
            "error": type(error).__name__,
            "status": error.status_code,
            "type": body.get("error", {}).get("type"),
            "message": body.get("error", {}).get("message"),
            "request_id": error.request_id,
        }


main()
