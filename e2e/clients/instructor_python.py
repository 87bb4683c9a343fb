"""Scenarios of the published ``instructor`` package; see concurrently.py."""

from __future__ import annotations

from typing import Any

import concurrently
import instructor
import openai
from pydantic import BaseModel

BASE_URL, KEY = concurrently.arguments()
client = instructor.from_openai(openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY))


class City(BaseModel):
    city: str


def options(message: str) -> dict[str, Any]:
    return {"model": "ada", "response_model": City, "messages": [{"role": "user", "content": message}]}


def whole(message: str) -> str:
    return str(client.chat.completions.create(**options(message)).city)


def stream(message: str) -> str:
    return str(list(client.chat.completions.create_partial(**options(message)))[-1].city)


concurrently.run({"whole": whole, "stream": stream})
