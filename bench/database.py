"""Cost of the database: streams with and without it, and short calls at a high rate."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

import msgspec

from bench import procfs
from bench.chats import ChatResult
from bench.measurement import Measurement, measure
from bench.metrics import METRICS, Metric, Verdict
from bench.report import Section, median_of
from bench.servers import OURS, ROOT, Server, started
from bench.workload import waiting

SCENARIO: Final = waiting(4000, seconds=30.0, rate=200.0)
"""One core can serve these arrivals, and all streams wait concurrently; otherwise it would measure overload."""
CPU_GOAL: Final = 1.15
RATE: Final = 300.0
SECONDS: Final = 60.0
MEMORY_GOAL: Final = 1.1
_MEBI: Final = 2**20


class Quick(NamedTuple):
    """Result of the short calls: responses, rows in the database, memory after a third of the time and at the end."""

    answered: ChatResult
    kept: int
    early_bytes: int
    late_bytes: int


def _server_with_database(file: Path) -> Server:
    command = tuple(f"sqlite:///{file}" if part == "off" else part for part in OURS.command)
    return OURS._replace(name="stored", title="with database", command=command)


def _streams() -> Measurement:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return measure(_server_with_database(Path(folder) / "log.sqlite"), SCENARIO)


def _quick() -> Quick:
    client_core, server_core = procfs.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "log.sqlite"
        # The memory for finished runs grows up to the retention, which is reached in the first seconds here.
        server = _server_with_database(file)
        with started(server._replace(command=(*server.command, "--retention", "5s")), server_core) as running:
            command = [sys.executable, "-m", "bench.chats", str(running.port), f"{RATE:g}", f"{SECONDS:g}"]
            client = subprocess.Popen(
                ["taskset", "-c", str(client_core), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            time.sleep(SECONDS / 3)  # the warm-up
            early = procfs.resident_bytes(running.pid)
            output, _ = client.communicate()
            late = procfs.resident_bytes(running.pid)
        with sqlite3.connect(file) as connection:
            (kept,) = connection.execute(
                "SELECT count(*) FROM runs WHERE status = 'complete' AND readers = 1"
            ).fetchone()
        return Quick(msgspec.json.decode(output, type=ChatResult), kept, early, late)


def _row(metric: Metric, without: list[Measurement], stored: list[Measurement]) -> str | None:
    found = [[value for one in each if (value := metric.of(one)) is not None] for each in (without, stored)]
    if not all(found) or metric.more_is_better is None:
        return None
    one, two = map(median, found)
    return f"| {metric.name} | {metric.show(one)} | {metric.show(two)} | {two / one if one else 0:.2f} |"


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    without = []
    stored = []
    for _ in range(rounds):
        without.append(measure(OURS, SCENARIO))
        stored.append(_streams())
        print(f"  without {without[-1].cpu:.2f} s, with database {stored[-1].cpu:.2f} s", flush=True)
    quick = _quick()
    asked = round(RATE * SECONDS)
    ratio = median(one.cpu for one in stored) / median(one.cpu for one in without)
    lost = sum(one.result.lost for one in (*without, *stored))
    growth = quick.late_bytes / quick.early_bytes
    early = quick.early_bytes / _MEBI
    late = quick.late_bytes / _MEBI
    answered = quick.answered.answered
    slowest = quantiles(quick.answered.seconds, n=100)[98]
    print(
        f"  {RATE:g} per second: {quick.answered.answered} answered, {quick.kept} stored, memory {growth:.2f} ×",
        flush=True,
    )
    return Section(
        "With a database",
        f"{SCENARIO.load} Measured with `database_url` off, and with SQLite, which stores a row, the texts and the "
        "conversation of each run.",
        "",
        Verdict(lost == 0, f"no streams lost ({lost})"),
        Verdict(ratio <= CPU_GOAL, f"CPU at most {CPU_GOAL:g} × that without a database: {ratio:.2f} ×"),
        "",
        f"| {median_of(rounds)} | without database | with database | ratio |",
        "|---|---:|---:|---:|",
        *(row for metric in METRICS if (row := _row(metric, without, stored))),
        "",
        f"Then {RATE:g} calls of `/api/chat` per second for {SECONDS:g} s, with a backend that answers at once:",
        "",
        Verdict(
            answered == quick.kept == asked,
            f"no calls lost: {answered:,} of {asked:,} "
            f"calls were answered, and {quick.kept:,} are stored with their delivery",
        ),
        Verdict(
            growth <= MEMORY_GOAL,
            f"constant memory (at most {MEMORY_GOAL:g} ×): {early:.0f} MiB after a "
            f"third of the time, {late:.0f} MiB at the end",
        ),
        f"- latency of an answer: {1000 * median(quick.answered.seconds):.0f} ms (p50), {1000 * slowest:.0f} ms (p99)",
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
