"""Backends that log for themselves, and one that leaves an error behind."""

from __future__ import annotations

import logging
import time

import gevent

logger = logging.getLogger("my_bot")


def ask(message: str) -> str:
    """Log, and fail."""
    logger.warning("the bot is slow today")
    raise ValueError("a detail")


def careless(message: str) -> str:
    """Start what fails on its own."""
    gevent.spawn(_fail)
    time.sleep(0.1)  # while that happens
    return "Answered."


def _fail() -> None:
    raise RuntimeError("a careless greenlet")
