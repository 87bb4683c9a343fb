"""Who answers: process_query itself, in each of its kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from persona_stream.core.query import Query

ProcessQuery = Callable[[Query], object]

Capability = Literal["tools", "images", "prefill", "response_format", "json_schema"]
"""What not every backend can do: call tools, see pictures, go on with an answer that is begun, keep to any format that
clients may ask for, or to a JSON schema at the least."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Hold a way to answer queries.

    ``process_query`` takes a query and gives a string or an ``Answer`` back. It may block for as long as it
    likes, is called for many queries at once, from greenlets or from threads, and may call ``query.report``
    meanwhile. It raises ``BackendError`` to tell the client something; whatever else it raises or returns is a
    mistake that the log shows and the client does not.

    It ends early by being killed: where it waits, ``GreenletExit`` is raised, which is no ``Exception``. So it
    must let that pass, and give back what it holds in ``finally`` or ``with``.

    Attributes:
        name: what to call it in the log.
        process_query: the function.
        is_async: it returns an awaitable, which gives the answer when it is awaited on an event loop.
        abilities: what else it can do. A query that needs more never reaches it.
        rest: says for how many seconds from now it will answer nobody; 0.0 where it may be asked.
    """

    name: str
    process_query: ProcessQuery
    is_async: bool = False
    capabilities: frozenset[Capability] = frozenset()
    retry_after: Callable[[], float] = lambda: 0.0
