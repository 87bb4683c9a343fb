"""Scenarios of the published ``litellm`` package, over each protocol; see concurrently.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import concurrently
import litellm

BASE_URL, KEY = concurrently.arguments()
OPENAI: dict[str, Any] = {"model": "openai/ada", "api_base": f"{BASE_URL}/v1", "api_key": KEY}
TEXT: dict[str, Any] = {**OPENAI, "model": "text-completion-openai/ada"}
ANTHROPIC: dict[str, Any] = {"model": "anthropic/ada", "api_base": BASE_URL, "api_key": KEY, "max_tokens": 999}


def messages(message: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": message}]


def joined(chunks: Iterable[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def whole(message: str) -> str:
    return str(litellm.completion(messages=messages(message), **OPENAI).choices[0].message.content)


def stream(message: str) -> str:
    return joined(litellm.completion(messages=messages(message), stream=True, **OPENAI))


def stream_async(message: str) -> str:
    async def listen() -> str:
        response = await litellm.acompletion(messages=messages(message), stream=True, **OPENAI)
        return joined([chunk async for chunk in response])

    return asyncio.run(listen())


def text(message: str) -> str:
    return str(litellm.text_completion(prompt=message, **TEXT).choices[0].text)


def text_stream(message: str) -> str:
    chunks = litellm.text_completion(prompt=message, stream=True, **TEXT)
    return "".join(chunk.choices[0].text or "" for chunk in chunks)


def anthropic(message: str) -> str:
    return str(litellm.completion(messages=messages(message), **ANTHROPIC).choices[0].message.content)


def anthropic_stream(message: str) -> str:
    return joined(litellm.completion(messages=messages(message), stream=True, **ANTHROPIC))


concurrently.run(
    {
        "whole": whole,
        "stream": stream,
        "stream_async": stream_async,
        "text": text,
        "text_stream": text_stream,
        "anthropic": anthropic,
        "anthropic_stream": anthropic_stream,
    }
)
