"""Moments as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: float) -> str:
    """Write a moment, in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
