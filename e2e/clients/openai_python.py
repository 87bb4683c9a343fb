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

Told = dict[str, Any]


class Asked:
    """Ask one question in each way that the package has."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        self.client = openai.OpenAI(base_url=base_url, api_key=key)
        self.later = openai.AsyncOpenAI(base_url=base_url, api_key=key)
        self.how: Told = {"model": "ada", "messages": [{"role": "user", "content": message}]}

    def whole(self) -> Told:
        """Ask for the whole."""
        completion = self.client.chat.completions.create(**self.how)
        choice = completion.choices[0]
        return {
            "text": choice.message.content,
            "reasoning": (choice.message.model_extra or {}).get("reasoning_content"),
            "finish": choice.finish_reason,
            "tokens": completion.usage.total_tokens if completion.usage else 0,
        }

    def stream(self) -> Told:
        """Ask for a stream."""
        told = _Heard()
        usage = {"include_usage": True}
        for chunk in self.client.chat.completions.create(**self.how, stream=True, stream_options=usage):
            told.add(chunk)
        return told.all()

    def stream_async(self) -> Told:
        """Ask for a stream on an event loop."""

        async def listen() -> Told:
            told = _Heard()
            async for chunk in await self.later.chat.completions.create(**self.how, stream=True):
                told.add(chunk)
            return told.all()

        return asyncio.run(listen())

    def whole_async(self) -> Told:
        """Ask for the whole on an event loop."""
        completion = asyncio.run(self.later.chat.completions.create(**self.how))
        return {"text": completion.choices[0].message.content, "finish": completion.choices[0].finish_reason}

    def helper(self) -> Told:
        """Ask with the helper that puts a stream together."""
        with self.client.chat.completions.stream(**self.how) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            completion = stream.get_final_completion()
        choice = completion.choices[0]
        return {"text": choice.message.content, "finish": choice.finish_reason, "joined": "".join(deltas)}

    def impatient(self) -> Told:
        """Bear no more than three silent seconds."""
        self.client = self.client.with_options(timeout=3.0, max_retries=0)
        return self.stream()

    def unstreamed_choices(self) -> Told:
        """Request an unsupported feature."""
        self.how["n"] = 2
        return self.whole()

    def leave(self) -> Told:
        """Hang up after the first chunk."""
        stream = self.client.chat.completions.create(**self.how, stream=True)
        first = next(iter(stream))
        stream.close()
        return {"role": first.choices[0].delta.role}

    def models(self) -> Told:
        """List the models, and get one."""
        names = [model.id for model in self.client.models.list()]
        return {"names": names, "one": self.client.models.retrieve(names[0]).id}


class _Heard:
    """Put a stream together as a person would."""

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

    def all(self) -> Told:
        return {
            "text": self.text, "reasoning": self.reasoning, "finish": self.finish, "tokens": self.tokens,
            "first": self.first,
        }  # fmt: skip


def main() -> None:
    """Do them."""
    base_url, key, deeds, message = sys.argv[1:]
    print(json.dumps([_do(getattr(Asked(base_url, key, message), deed)) for deed in deeds.split(",")]))


def _do(deed: Callable[[], Told]) -> Told:
    try:
        return deed()
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
