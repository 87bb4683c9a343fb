"""Run scenarios with the published ``openai`` package, and print the results as JSON.

It runs in a separate environment with that package only:
    python openai_python.py BASE_URL KEY SCENARIO[,SCENARIO…] MESSAGE
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import openai

Result = dict[str, Any]


class Scenarios:
    """One question through each interface of the package."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        self.client = openai.OpenAI(base_url=base_url, api_key=key)
        self.async_client = openai.AsyncOpenAI(base_url=base_url, api_key=key)
        self.options: Result = {"model": "ada", "messages": [{"role": "user", "content": message}]}

    def whole(self) -> Result:
        """Request a whole response."""
        completion = self.client.chat.completions.create(**self.options)
        choice = completion.choices[0]
        return {
            "text": choice.message.content,
            "reasoning": (choice.message.model_extra or {}).get("reasoning_content"),
            "finish": choice.finish_reason,
            "tokens": completion.usage.total_tokens if completion.usage else 0,
        }

    def stream(self) -> Result:
        """Request a stream."""
        result = _Collector()
        usage = {"include_usage": True}
        for chunk in self.client.chat.completions.create(**self.options, stream=True, stream_options=usage):
            result.add(chunk)
        return result.all()

    def stream_async(self) -> Result:
        """Request a stream on an event loop."""

        async def listen() -> Result:
            result = _Collector()
            async for chunk in await self.async_client.chat.completions.create(**self.options, stream=True):
                result.add(chunk)
            return result.all()

        return asyncio.run(listen())

    def whole_async(self) -> Result:
        """Request a whole response on an event loop."""
        completion = asyncio.run(self.async_client.chat.completions.create(**self.options))
        return {"text": completion.choices[0].message.content, "finish": completion.choices[0].finish_reason}

    def helper(self) -> Result:
        """Use the streaming helper, which assembles the answer."""
        with self.client.chat.completions.stream(**self.options) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            completion = stream.get_final_completion()
        choice = completion.choices[0]
        return {"text": choice.message.content, "finish": choice.finish_reason, "joined": "".join(deltas)}

    def impatient(self) -> Result:
        """Request a stream with a read timeout of three seconds."""
        self.client = self.client.with_options(timeout=3.0, max_retries=0)
        return self.stream()

    def unstreamed_choices(self) -> Result:
        """Request an unsupported feature."""
        self.options["n"] = 2
        return self.whole()

    def leave(self) -> Result:
        """Disconnect after the first chunk."""
        stream = self.client.chat.completions.create(**self.options, stream=True)
        first = next(iter(stream))
        stream.close()
        return {"role": first.choices[0].delta.role}

    def models(self) -> Result:
        """List the models, and get one."""
        names = [model.id for model in self.client.models.list()]
        return {"names": names, "one": self.client.models.retrieve(names[0]).id}


class _Collector:
    """Collector of the events of one stream."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.finish: str | None = None
        self.tokens = 0
        self.began = time.monotonic()
        self.first: float | None = None

    def add(self, chunk: Any) -> None:
        self.first = time.monotonic() - self.began if self.first is None else self.first
        if chunk.usage:
            self.tokens = chunk.usage.total_tokens
        for choice in chunk.choices:
            self.text += choice.delta.content or ""
            self.reasoning += (choice.delta.model_extra or {}).get("reasoning_content") or ""
            self.finish = choice.finish_reason or self.finish

    def all(self) -> Result:
        return {
            "text": self.text, "reasoning": self.reasoning, "finish": self.finish, "tokens": self.tokens,
            "first": self.first,
        }  # fmt: skip


def main() -> None:
    """Run the scenarios and print their results."""
    base_url, key, scenarios, message = sys.argv[1:]
    print(json.dumps([_run(getattr(Scenarios(base_url, key, message), scenario)) for scenario in scenarios.split(",")]))


def _run(scenario: Callable[[], Result]) -> Result:
    try:
        return scenario()
    except openai.APIError as error:
        return {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "type": error.type,
            "param": error.param,
            "message": error.message,
        }


main()
