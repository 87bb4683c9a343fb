"""Cost of journals in Redis: two workers that share Redis, compared to one process with journals in memory."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final, NamedTuple

import redis

from bench import procfs
from bench.measurement import Measurement, measure
from bench.metrics import METRICS, Metric, Verdict
from bench.report import Section, median_of
from bench.servers import OURS, Server, free_port
from bench.workload import waiting

SCENARIO: Final = waiting(2000, seconds=30.0, rate=100.0)
"""One core can serve these arrivals, and all streams wait concurrently; otherwise it would measure overload."""
CPU_GOAL: Final = 1.3
CONNECTIONS_GOAL: Final = 10
TITLE: Final = "two workers with Redis"


class Shared(NamedTuple):
    """Result of one round: the measurement of the workers, and the CPU seconds and connections of Redis."""

    workers: Measurement
    redis_cpu: float
    connections: int


@contextmanager
def running_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run Redis without persistence; yield its URL and its process."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}/0", process
        finally:
            process.terminate()
            process.wait()


def sharing(url: str, *options: str) -> Server:
    """Return the server with two workers that share Redis."""
    command = (*OURS.command, "--workers", "2", "--redis-url", url, *options)
    return OURS._replace(name="shared", title=TITLE, command=command)


def _one() -> Shared:
    with running_redis() as (url, process):
        workers = measure(sharing(url), SCENARIO)
        with redis.Redis.from_url(url) as client:
            # The total, without this client: an upper bound of the concurrent connections.
            connections = client.info("stats")["total_connections_received"] - 1
        return Shared(workers, procfs.cpu_seconds(process.pid), connections)


def _row(metric: Metric, alone: list[Measurement], shared: list[Measurement]) -> str | None:
    found = [[value for one in each if (value := metric.of(one)) is not None] for each in (alone, shared)]
    if not all(found) or metric.more_is_better is None:
        return None
    one, two = map(median, found)
    return f"| {metric.name} | {metric.show(one)} | {metric.show(two)} | {two / one if one else 0:.2f} |"


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    if shutil.which("redis-server") is None:
        return Section("With Redis", "Not measured: redis-server is missing (`apt-get install redis-server`).")
    alone = []
    shared = []
    for _ in range(rounds):
        alone.append(measure(OURS, SCENARIO))
        shared.append(_one())
        print(f"  alone {alone[-1].cpu:.2f} s, shared {shared[-1].workers.cpu:.2f} s", flush=True)
    workers = [each.workers for each in shared]
    ratio = median(one.cpu for one in workers) / median(one.cpu for one in alone)
    connections = max(each.connections for each in shared)
    lost = sum(one.result.lost for one in (*alone, *workers))
    rows = [row for metric in METRICS if (row := _row(metric, alone, workers))]
    return Section(
        "With Redis",
        f"{SCENARIO.load} Measured with one process that stores its runs in memory, and with two workers that share "
        "Redis. CPU and memory are the sums of both workers, on one core; Redis has its own row.",
        "",
        Verdict(lost == 0, f"no streams lost ({lost})"),
        Verdict(ratio <= CPU_GOAL, f"CPU at most {CPU_GOAL:g} × that of journals in memory: {ratio:.2f} ×"),
        Verdict(connections <= CONNECTIONS_GOAL, f"at most {CONNECTIONS_GOAL} connections to Redis: {connections}"),
        "",
        f"| {median_of(rounds)} | in memory | {TITLE} | ratio |",
        "|---|---:|---:|---:|",
        *rows,
        f"| CPU of Redis | – | {median(each.redis_cpu for each in shared):.2f} s | |",
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
