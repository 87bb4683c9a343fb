"""Resources of a server process, and a comparison that detects leaks.

The backend ``tests.faults.scripted_backend:work`` counts greenlets and objects inside the process; the other figures
come from the kernel.
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
    # The connections of the database pool are opened on demand, with some files each.
    "files": 12,
    # gevent's thread pool grows to ten threads with concurrent calls, and does not shrink.
    "threads": 10,
    # Each of those threads has two greenlets.
    "greenlets": 22,
    # Caches: series of metrics, SQL statements, the verified token of each user.
    "objects": 2_000,
}
"""Allowed growth; the limit on memory depends on the load."""
MAX_IDLE_FILES: Final = 30
"""Maximum number of open files of a server without connections."""


class ProcessStats(NamedTuple):
    """Resources of a process."""

    memory_bytes: int
    files: int
    threads: int
    greenlets: int
    objects: int


def measure(server: ServerProcess) -> tuple[ProcessStats, str]:
    """Return the resources of the server, and the id of the run that counted them."""
    response = server.post("/api/chat", {"username": "census", "message": "census 0"}, user="census")
    counted = response.json()
    assert response.ok, counted
    inside = json.loads(counted["data"])
    process = server.process.pid
    stats = ProcessStats(
        memory_bytes(process),
        open_files(process),
        int(_status(process, "Threads")),
        inside["greenlets"],
        inside["objects"],
    )
    return stats, counted["run_id"]


def grown(before: ProcessStats, after: ProcessStats, memory: int) -> Iterator[str]:
    """Yield the resources that grew beyond their limits: memory by ``memory`` bytes, the others by ``GROWTH``."""
    for name, bound in {"memory_bytes": memory, **GROWTH}.items():
        first = getattr(before, name)
        last = getattr(after, name)
        if last - first > bound:
            yield f"{name}: {first:,} after the warm-up, {last:,} at the end; allowed growth {bound:,}"


def wait_until_idle(server: ServerProcess, seconds: float) -> MetricReader:
    """Wait until no run is queued, running or read; return the metrics at that moment."""
    found: list[MetricReader] = []

    def is_idle() -> bool:
        found[:] = [seen := scrape(server)]
        return not (seen("open_streams") or seen("places_taken") or seen("runs_waiting"))

    wait_for(is_idle, seconds)
    return found[0]


def memory_bytes(process: int) -> int:
    """Return the resident memory of a process."""
    return int(_status(process, "VmRSS").split()[0]) * 1024


def open_files(process: int) -> int:
    """Return the number of open files of a process, including connections."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def _status(process: int, name: str) -> str:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise AssertionError(f"no {name} of process {process}")
