"""Fallback: a backend that hands queries to a second one while the first is unavailable."""

from __future__ import annotations

import logging
from typing import Any, cast

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.errors import BackendUnavailable, ConfigurationError

logger = logging.getLogger("persona_stream.backends")


def with_fallback(primary: Backend, fallback: Backend) -> Backend:
    """Create a backend that asks ``fallback``, once, when ``primary`` raises ``BackendUnavailable``.

    Raises:
        ConfigurationError: only one of them runs on an event loop.
    """
    if primary.is_async != fallback.is_async:
        raise ConfigurationError(f"{fallback.name} cannot be the fallback of {primary.name}: only one of them is async")

    def log_fallback(error: BackendUnavailable) -> None:
        logger.warning("%s is unavailable (%s): falling back to %s", primary.name, error, fallback.name)

    def process_query(query: Query) -> object:
        try:
            return primary.process_query(query)
        except BackendUnavailable as error:
            log_fallback(error)
        return fallback.process_query(query)

    async def process_query_async(query: Query) -> object:
        try:
            return await cast("Any", primary.process_query(query))
        except BackendUnavailable as error:
            log_fallback(error)
        return await cast("Any", fallback.process_query(query))

    return Backend(
        primary.name,
        process_query_async if primary.is_async else process_query,
        primary.is_async,
        primary.capabilities & fallback.capabilities,
        retry_after=lambda: min(primary.retry_after(), fallback.retry_after()),
    )
