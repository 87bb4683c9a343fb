"""Run scenarios with the published ``langchain-openai`` package, and print the results as a JSON list.

It runs in a separate environment with that package only:
    python langchain_python.py BASE_URL KEY SCENARIO,SCENARIO MESSAGE
Several scenarios run concurrently, since importing the package takes longer than most of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
from langchain_openai import ChatOpenAI

Told = dict[str, Any]


class Asked:
    """Ask one question in each way that the package has."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        # The async stream gives up after this many seconds without a chunk; comments do not count.
        timeout = {"stream_chunk_timeout": 18}
        self.how: Told = {"base_url": base_url, "api_key": key, "model": "ada", "stream_usage": True, **timeout}
        self.message = message

    @property
    def model(self) -> ChatOpenAI:
        return ChatOpenAI(**self.how)

    def whole(self) -> Told:
        """Ask for the whole."""
        return _told(self.model.invoke(self.message))

    def whole_async(self) -> Told:
        """Ask for the whole on an event loop."""
        return _told(asyncio.run(self.model.ainvoke(self.message)))

    def stream(self) -> Told:
        """Ask for a stream."""
        chunks = list(self.model.stream(self.message))
        return _told(sum(chunks[1:], chunks[0]))

    def stream_async(self) -> Told:
        """Ask for a stream on an event loop."""

        async def listen() -> Told:
            chunks = [chunk async for chunk in self.model.astream(self.message)]
            return _told(sum(chunks[1:], chunks[0]))

        return asyncio.run(listen())

    def unstreamed_choices(self) -> Told:
        """Request an unsupported feature."""
        self.how["n"] = 2
        return self.whole()

    def leave(self) -> Told:
        """Hang up after the first chunk."""
        stream = self.model.stream(self.message)
        first = next(stream)
        stream.close()
        return {"text": first.text}


def _told(message: Any) -> Told:
    return {
        "text": message.text,
        "finish": message.response_metadata.get("finish_reason"),
        "tokens": (message.usage_metadata or {}).get("total_tokens", 0),
    }


def do(base_url: str, key: str, deed: str, message: str) -> Told:
    """Do one thing."""
    try:
        told: Told = getattr(Asked(base_url, key, message), deed)()
    except openai.APIError as error:
        told = {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "param": error.param,
            "message": error.message,
        }
    return told


def main() -> None:
    """Do them."""
    base_url, key, deeds, message = sys.argv[1:]
    with ThreadPoolExecutor() as pool:
        print(json.dumps(list(pool.map(lambda deed: do(base_url, key, deed, message), deeds.split(",")))))


main()
