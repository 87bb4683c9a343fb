"""Read a stream over a real connection, as a client that knows only the wire."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import requests


class Got(NamedTuple):
    """An event: when it came, its id, and its data."""

    at: float
    id: str | None
    data: dict[str, Any]


def events(response: requests.Response) -> Iterator[Got]:
    """Give each event as it comes; fail on anything but ``id:`` and ``data:`` lines."""
    event_id, data = None, None
    for raw in response.iter_lines(chunk_size=4096):
        line = raw.decode("utf-8")
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            assert data is None, "one data line an event"
            data = json.loads(line[6:])
        else:
            assert line == "", f"an unexpected line: {line!r}"
            if data is not None:
                yield Got(time.monotonic(), event_id, data)
            event_id, data = None, None


def read(response: requests.Response) -> list[Got]:
    """Read to the end."""
    with response:
        return list(events(response))


def bodies(got: list[Got]) -> list[dict[str, Any]]:
    """Give the data alone."""
    return [event.data for event in got]


def answer(got: list[Got]) -> str:
    """Join the pieces."""
    return "".join(event.data["data"] for event in got if event.data["status"] == "streaming")
