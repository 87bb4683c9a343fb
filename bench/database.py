"""What it costs that conversations and a log are kept: streams with the store and without, and many quick answers."""

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
from bench.chats import Answered
from bench.measurement import Measurement, measure
from bench.metrics import METRICS, Metric
from bench.report import verdict
from bench.servers import OURS, ROOT, Server, started
from bench.workload import waiting

SCENARIO: Final = waiting(4000, seconds=60.0, rate=200.0)
"""So that a core can take them as they come, and all of them do wait at the same time: else it measures overload."""
CPU_AIM: Final = 1.15
RATE: Final = 300.0
SECONDS: Final = 60.0
MEMORY_AIM: Final = 1.1
_MEBI: Final = 2**20


class Quick(NamedTuple):
    """A minute of quick answers: what the client got, what the database has, memory after a third and at the end."""

    answered: Answered
    kept: int
    early_bytes: int
    late_bytes: int


def _keeping(file: Path) -> Server:
    command = tuple(f"sqlite:///{file}" if part == "off" else part for part in OURS.command)
    return OURS._replace(name="stored", title="with the store", command=command)


def _streams() -> Measurement:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return measure(_keeping(Path(folder) / "log.sqlite"), SCENARIO)


def _quick() -> Quick:
    client_core, server_core = procfs.cores()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "log.sqlite"
        # What is kept of ended runs for readers grows until it is full: here it is full in the first seconds.
        server = _keeping(file)
        with started(server._replace(command=(*server.command, "--retention", "5s")), server_core) as running:
            command = [sys.executable, "-m", "bench.chats", str(running.port), f"{RATE:g}", f"{SECONDS:g}"]
            client = subprocess.Popen(
                ["taskset", "-c", str(client_core), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            time.sleep(SECONDS / 3)  # what is measured is from then on
            early = procfs.resident_bytes(running.pid)
            told, _ = client.communicate()
            late = procfs.resident_bytes(running.pid)
        with sqlite3.connect(file) as connection:
            (kept,) = connection.execute(
                "SELECT count(*) FROM runs WHERE status = 'complete' AND readers = 1"
            ).fetchone()
        return Quick(msgspec.json.decode(told, type=Answered), kept, early, late)


def _row(metric: Metric, without: list[Measurement], stored: list[Measurement]) -> str | None:
    found = [[value for one in each if (value := metric.of(one)) is not None] for each in (without, stored)]
    if not all(found) or metric.more_is_better is None:
        return None
    one, two = map(median, found)
    return f"| {metric.name} | {metric.show(one)} | {metric.show(two)} | {two / one if one else 0:.2f} |"


def section(rounds: int) -> list[str]:
    """Measure, and write the section of the report."""
    without, stored = [], []
    for _ in range(rounds):
        without.append(measure(OURS, SCENARIO))
        stored.append(_streams())
        print(f"  without {without[-1].cpu:.2f} s, with the store {stored[-1].cpu:.2f} s", flush=True)
    quick = _quick()
    asked = round(RATE * SECONDS)
    ratio = median(one.cpu for one in stored) / median(one.cpu for one in without)
    lost = sum(one.tally.lost for one in (*without, *stored))
    growth, early, late = quick.late_bytes / quick.early_bytes, quick.early_bytes / _MEBI, quick.late_bytes / _MEBI
    answered = quick.answered.answered
    slowest = quantiles(quick.answered.seconds, n=100)[98]
    print(
        f"  {RATE:g} a second: {quick.answered.answered} answered, {quick.kept} kept, memory {growth:.2f} ×", flush=True
    )
    return [
        "",
        "## With the store",
        "",
        f"{SCENARIO.load} Once with `database_url` off, and once with SQLite, which keeps a row, the texts and the "
        "conversation of each.",
        "",
        f"- {verdict(lost == 0)}: none lost ({lost})",
        f"- {verdict(ratio <= CPU_AIM)}: CPU at most {CPU_AIM:g} × that without: {ratio:.2f} ×",
        "",
        f"| median of {rounds} rounds | without | with the store | ratio |",
        "|---|---:|---:|---:|",
        *(row for metric in METRICS if (row := _row(metric, without, stored))),
        "",
        f"Then {RATE:g} calls of `/api/chat` a second for {SECONDS:g} s, whose backend answers at once:",
        "",
        f"- {verdict(answered == quick.kept == asked)}: nothing lost: of {asked:,} calls "
        f"{answered:,} were answered, and {quick.kept:,} are in the database with their reader",
        f"- {verdict(growth <= MEMORY_AIM)}: memory flat (at most {MEMORY_AIM:g} ×): {early:.0f} MiB after a third of "
        f"the time, {late:.0f} MiB at the end",
        f"- an answer took {1000 * median(quick.answered.seconds):.0f} ms at the median, {1000 * slowest:.0f} at p99",
    ]


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1)))
