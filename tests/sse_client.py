"""SSE client for tests, which knows only the documented wire format."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import requests


class ReceivedEvent(NamedTuple):
    """Event with its arrival time (monotonic), id and data."""

    at: float
    id: str | None
    data: dict[str, Any]


def events(response: requests.Response) -> Iterator[ReceivedEvent]:
    """Yield the events as they arrive; fail on lines other than ``id:`` and ``data:``."""
    event_id = None
    data = None
    for raw in response.iter_lines(chunk_size=4096):
        line = raw.decode("utf-8")
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            assert data is None, "an event has more than one data line"
            data = json.loads(line[6:])
        else:
            assert line == "", f"unexpected line: {line!r}"
            if data is not None:
                yield ReceivedEvent(time.monotonic(), event_id, data)
            event_id = None
            data = None


def read(response: requests.Response) -> list[ReceivedEvent]:
    """Return all events of a stream."""
    with response:
        return list(events(response))


def bodies(received: list[ReceivedEvent]) -> list[dict[str, Any]]:
    """Return the data of the events."""
    return [event.data for event in received]


def answer(received: list[ReceivedEvent]) -> str:
    """Return the text of the answer."""
    return "".join(event.data["data"] for event in received if event.data["status"] == "streaming")
