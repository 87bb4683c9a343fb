"""Generators as backends: each text that one yields is sent to the readers at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, cast

from persona_stream.backends import ProcessQuery
from persona_stream.core.query import Query


def send_each(generates: ProcessQuery) -> ProcessQuery:
    """Give a process_query of one that generates texts. What a generator returns is the rest of the answer."""

    def process_query(query: Query) -> object:
        with closing(cast("Generator[str, None, object]", generates(query))) as texts:
            while True:
                try:
                    query.send(next(texts))
                except StopIteration as end:
                    return "" if end.value is None else end.value

    return process_query


def send_each_async(generates: ProcessQuery) -> Callable[[Query], Awaitable[Any]]:
    """Give a process_query of one that generates texts on an event loop."""

    async def process_query(query: Query) -> str:
        async with aclosing(cast("AsyncGenerator[str, None]", generates(query))) as texts:
            async for text in texts:
                query.send(text)
        return ""

    return process_query
