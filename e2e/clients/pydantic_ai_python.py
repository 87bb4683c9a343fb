"""Scenarios of the published ``pydantic-ai`` package; see concurrently.py."""

from __future__ import annotations

import asyncio

import concurrently
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

BASE_URL, KEY = concurrently.arguments()


class City(BaseModel):
    city: str


def model() -> OpenAIChatModel:
    return OpenAIChatModel("ada", provider=OpenAIProvider(base_url=f"{BASE_URL}/v1", api_key=KEY))


def whole(message: str) -> str:
    return asyncio.run(Agent(model()).run(message)).output


def stream(message: str) -> str:
    async def listen() -> str:
        async with Agent(model()).run_stream(message) as response:
            return "".join([delta async for delta in response.stream_text(delta=True)])

    return asyncio.run(listen())


def typed(message: str) -> str:
    return asyncio.run(Agent(model(), output_type=City).run(message)).output.city


concurrently.run({"whole": whole, "stream": stream, "typed": typed})
