"""What a server's process holds, and whether that is more than it was.

The server's backend is ``tests.faults.tasks:work``, which counts greenlets and objects from within; the kernel tells
the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.metrics_client import MetricReader, scrape
from tests.polling import wait_for
from tests.server_process import ServerProcess

GROWTH: Final[Mapping[str, int]] = {
    # Connections of the store's pool, with some files each, are made when they are first needed.
    "files": 12,
    # gevent's pool of threads grows to ten, as calls happen to come at the same time, and stays.
    "threads": 10,
    # Each of those threads has two of its own.
    "greenlets": 22,
    # What is looked up once: series of metrics, statements, a verified token for each caller.
    "objects": 2_000,
}
"""By how much each may be more than it was; the bound on memory depends on the load."""
IDLE_FILES: Final = 30
"""So many files a server has open at the most that has no connection."""


class Vitals(NamedTuple):
    """Hold what a process holds."""

    memory_bytes: int
    files: int
    threads: int
    greenlets: int
    objects: int


def look(server: ServerProcess) -> tuple[Vitals, str]:
    """Count what the server holds, and give the name of the run that counted."""
    response = server.post("/api/chat", {"username": "census", "message": "census 0"}, user="census")
    counted = response.json()
    assert response.ok, counted
    inside = json.loads(counted["data"])
    process = server.process.pid
    vitals = Vitals(
        memory_bytes(process),
        open_files(process),
        int(_status(process, "Threads")),
        inside["greenlets"],
        inside["objects"],
    )
    return vitals, counted["run_id"]


def grown(before: Vitals, after: Vitals, memory: int) -> Iterator[str]:
    """Say what is more than it was, and more than it may be: memory by ``memory`` bytes, the rest by ``GROWTH``."""
    for name, bound in {"memory_bytes": memory, **GROWTH}.items():
        was, now = getattr(before, name), getattr(after, name)
        if now - was > bound:
            yield f"{name}: {was:,} after the warm-up, {now:,} in the end, {bound:,} more would be in order"


def wait_until_quiet(server: ServerProcess, seconds: float) -> MetricReader:
    """Wait until no run is under way, waits or is read; give the metrics of that moment."""
    found: list[MetricReader] = []

    def is_quiet() -> bool:
        found[:] = [seen := scrape(server)]
        return not (seen("open_streams") or seen("places_taken") or seen("runs_waiting"))

    wait_for(is_quiet, seconds)
    return found[0]


def memory_bytes(process: int) -> int:
    """Give its resident memory."""
    return int(_status(process, "VmRSS").split()[0]) * 1024


def open_files(process: int) -> int:
    """Count its open files, connections among them."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def _status(process: int, name: str) -> str:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise AssertionError(f"no {name} of process {process}")
