"""Why an answer ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from persona_stream.core.query import Finish


def finish_of(
    reason: object, finishes: Mapping[str, Finish], *, calls: bool, logger: logging.Logger, field: str
) -> Finish:
    """Say why an answer ended; a call is there to be made, whatever the provider calls the reason.

    Args:
        reason: what the provider says.
        finishes: what its reasons mean.
        calls: whether the answer asks for calls of tools.
        logger: hears of reasons that nobody knows.
        field: where the provider says it.
    """
    finish = finishes.get(reason) if isinstance(reason, str) else None
    if finish is None:
        finish = "stop"
        if reason is not None:
            logger.info("the answer may not be whole: %s %.100r", field, reason)
    if finish in ("stop", "tools"):
        return "tools" if calls else "stop"
    return finish
