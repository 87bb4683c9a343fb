"""Backend that logs through its own logger, and one that leaves a failing greenlet behind."""

from __future__ import annotations

import logging
import time

import gevent

logger = logging.getLogger("my_bot")


def ask(message: str) -> str:
    """Log a warning and raise."""
    logger.warning("the bot is slow today")
    raise ValueError("a detail")


def careless(message: str) -> str:
    """Start a greenlet that raises."""
    gevent.spawn(_fail)
    time.sleep(0.1)  # the greenlet runs meanwhile
    return "Answered."


def _fail() -> None:
    raise RuntimeError("a careless greenlet")
