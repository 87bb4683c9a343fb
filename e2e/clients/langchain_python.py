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

Result = dict[str, Any]


class Scenarios:
    """One question through each interface of the package."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        # The async stream gives up after this many seconds without a chunk; comments do not count.
        timeout = {"stream_chunk_timeout": 18}
        self.options: Result = {"base_url": base_url, "api_key": key, "model": "ada", "stream_usage": True, **timeout}
        self.message = message

    @property
    def model(self) -> ChatOpenAI:
        return ChatOpenAI(**self.options)

    def whole(self) -> Result:
        """Request a whole response."""
        return _result(self.model.invoke(self.message))

    def whole_async(self) -> Result:
        """Request a whole response on an event loop."""
        return _result(asyncio.run(self.model.ainvoke(self.message)))

    def stream(self) -> Result:
        """Request a stream."""
        chunks = list(self.model.stream(self.message))
        return _result(sum(chunks[1:], chunks[0]))

    def stream_async(self) -> Result:
        """Request a stream on an event loop."""

        async def listen() -> Result:
            chunks = [chunk async for chunk in self.model.astream(self.message)]
            return _result(sum(chunks[1:], chunks[0]))

        return asyncio.run(listen())

    def unstreamed_choices(self) -> Result:
        """Request an unsupported feature."""
        self.options["n"] = 2
        return self.whole()

    def leave(self) -> Result:
        """Disconnect after the first chunk."""
        stream = self.model.stream(self.message)
        first = next(stream)
        stream.close()
        return {"text": first.text}


def _result(message: Any) -> Result:
    return {
        "text": message.text,
        "finish": message.response_metadata.get("finish_reason"),
        "tokens": (message.usage_metadata or {}).get("total_tokens", 0),
    }


def run_scenario(base_url: str, key: str, scenario: str, message: str) -> Result:
    """Run one scenario."""
    try:
        result: Result = getattr(Scenarios(base_url, key, message), scenario)()
    except openai.APIError as error:
        result = {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "param": error.param,
            "message": error.message,
        }
    return result


def main() -> None:
    """Run the scenarios and print their results."""
    base_url, key, scenarios, message = sys.argv[1:]
    with ThreadPoolExecutor() as pool:
        print(
            json.dumps(
                list(pool.map(lambda scenario: run_scenario(base_url, key, scenario, message), scenarios.split(",")))
            )
        )


main()
