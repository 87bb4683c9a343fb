"""Two backends as one: where the first cannot answer, the second does."""

from __future__ import annotations

import logging
from typing import Any, cast

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.errors import BackendUnavailable, ConfigurationError

logger = logging.getLogger("persona_stream.backends")


def with_fallback(first: Backend, second: Backend) -> Backend:
    """Ask the second, once, where the first is out of reach, too busy or broken before it has said anything.

    Raises:
        ConfigurationError: one of them runs on an event loop, and the other does not.
    """
    if first.is_async != second.is_async:
        raise ConfigurationError(f"{second.name} cannot take over from {first.name}: only one of them is async")

    def told(trouble: BackendUnavailable) -> None:
        logger.warning("%s cannot answer (%s): %s takes over", first.name, trouble, second.name)

    def process_query(query: Query) -> object:
        try:
            return first.process_query(query)
        except BackendUnavailable as trouble:
            told(trouble)
        return second.process_query(query)

    async def process_query_async(query: Query) -> object:
        try:
            return await cast("Any", first.process_query(query))
        except BackendUnavailable as trouble:
            told(trouble)
        return await cast("Any", second.process_query(query))

    either = process_query_async if first.is_async else process_query
    return Backend(
        first.name,
        either,
        first.is_async,
        first.capabilities & second.capabilities,
        retry_after=lambda: min(first.retry_after(), second.retry_after()),
    )
