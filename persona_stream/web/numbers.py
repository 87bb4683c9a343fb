"""Whole numbers in the query of a request."""

from __future__ import annotations

from flask import request

from persona_stream.errors import InvalidRequest

_DIGITS = 15  # more than anything here has


def limit(default: int, largest: int) -> int:
    """Give how many a page shall have.

    Raises:
        InvalidRequest: it is no number, none at all, or more than ``largest``.
    """
    found = number("limit", default)
    if not 1 <= found <= largest:
        raise InvalidRequest(f"limit: must be 1 to {largest}")
    return found


def number(name: str, default: int) -> int:
    """Give a number of the query.

    Raises:
        InvalidRequest: it is none.
    """
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidRequest(f"{name}: must be a whole number")
    return int(text)
