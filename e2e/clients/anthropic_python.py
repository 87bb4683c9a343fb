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

Result = dict[str, Any]

TOOL = {"name": "weather", "input_schema": {"type": "object"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@anthropic.beta_tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Sun in {city}."


class Scenarios:
    """One question through each interface of the package."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        self.client = anthropic.Anthropic(base_url=base_url, api_key=key)
        self.async_client = anthropic.AsyncAnthropic(base_url=base_url, api_key=key)
        self.bearer = anthropic.Anthropic(base_url=base_url, auth_token=key, api_key=None)
        self.options: Result = {
            "model": "ada", "max_tokens": 1024, "system": "Be brief.",
            "messages": [{"role": "user", "content": message}],
        }  # fmt: skip

    def whole(self) -> Result:
        """Request a whole response."""
        return _whole(self.client.messages.create(**self.options))

    def whole_async(self) -> Result:
        """Request a whole response on an event loop."""
        return _whole(asyncio.run(self.async_client.messages.create(**self.options)))

    def whole_with_bearer(self) -> Result:
        """Request a whole response with the token in the header Authorization."""
        return _whole(self.bearer.messages.create(**self.options))

    def stream(self) -> Result:
        """Request a stream."""
        result = _Collector()
        for event in self.client.messages.create(**self.options, stream=True):
            result.add(event)
        return result.all()

    def stream_async(self) -> Result:
        """Request a stream on an event loop."""

        async def listen() -> Result:
            result = _Collector()
            async for event in await self.async_client.messages.create(**self.options, stream=True):
                result.add(event)
            return result.all()

        return asyncio.run(listen())

    def helper(self) -> Result:
        """Use the streaming helper, which assembles the answer."""
        with self.client.messages.stream(**self.options) as stream:
            joined = "".join(stream.text_stream)
            return _whole(stream.get_final_message()) | {"joined": joined}

    def helper_async(self) -> Result:
        """Use the streaming helper on an event loop."""

        async def listen() -> Result:
            async with self.async_client.messages.stream(**self.options) as stream:
                joined = "".join([text async for text in stream.text_stream])
                return _whole(await stream.get_final_message()) | {"joined": joined}

        return asyncio.run(listen())

    def impatient(self) -> Result:
        """Request a stream with a read timeout of three seconds."""
        self.client = self.client.with_options(timeout=3.0, max_retries=0)
        return self.stream()

    def another_turn(self) -> Result:
        """Send the answer back with its reasoning and another question."""
        first = self.client.messages.create(**self.options)
        again = {"role": "user", "content": "0"}
        self.options["messages"] += [{"role": "assistant", "content": first.content}, again]
        return self.helper()

    def tools(self) -> Result:
        """Request an unsupported feature."""
        self.options["tools"] = [TOOL]
        return self.stream()

    def picture(self) -> Result:
        """Send an image, which the backend does not support."""
        self.options["messages"] = [{"role": "user", "content": [PICTURE]}]
        return self.whole()

    def count(self) -> Result:
        """Count the tokens."""
        del self.options["max_tokens"]
        return {"tokens": self.client.messages.count_tokens(**self.options).input_tokens}

    def tool_runner(self) -> Result:
        """Let the package call a tool of this program and send its result."""
        runner = self.client.beta.messages.tool_runner(**self.options, tools=[weather])
        return _whole(runner.until_done())

    def tool_runner_stream(self) -> Result:
        """Do the same with streams."""
        runner = self.client.beta.messages.tool_runner(**self.options, tools=[weather], stream=True)
        messages = [stream.get_final_message() for stream in runner]
        return _whole(messages[-1]) | {"turns": len(messages)}

    def leave(self) -> Result:
        """Disconnect after the first event."""
        stream = self.client.messages.create(**self.options, stream=True)
        first = next(iter(stream))
        stream.close()
        return {"first": first.type}

    def models(self) -> Result:
        """List the models, and get one."""
        names = [model.id for model in self.client.models.list()]
        one = self.client.models.retrieve(names[0])
        return {"names": names, "one": one.id, "display_name": one.display_name}


def _whole(message: Any) -> Result:
    blocks = [block.model_dump() for block in message.content]
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "reasoning": "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        "kinds": [block["type"] for block in blocks],
        "finish": message.stop_reason,
        "tokens": message.usage.output_tokens,
        "given": message.usage.input_tokens,
    }


class _Collector:
    """Collector of the events of one stream."""

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

    def all(self) -> Result:
        return {
            "text": self.text, "reasoning": self.reasoning, "finish": self.finish, "tokens": self.tokens,
            "given": self.given, "first": self.first,
        }  # fmt: skip


def main() -> None:
    """Run the scenarios and print their results."""
    base_url, key, scenarios, message = sys.argv[1:]
    print(json.dumps([_run(getattr(Scenarios(base_url, key, message), scenario)) for scenario in scenarios.split(",")]))


def _run(scenario: Callable[[], Result]) -> Result:
    try:
        return scenario()
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
