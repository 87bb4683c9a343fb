"""Steps of scaling: the time of an instant query at each place where it can run, and the throughput of Celery workers.

Server, workers, Redis and client share the machine, so that only queries that wait scale beyond its processors.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from statistics import median
from typing import Final

import msgspec

from bench.metrics import Verdict
from bench.report import Section
from bench.servers import OURS, ROOT, ConfigurationError, Server, started
from bench.shared import running_redis
from bench.workload import tokens

INSTANT: Final = 200  # queries, one after the other
CLIENTS: Final = 24  # concurrent clients of the throughput
SECONDS: Final = 6.0  # of a measurement
SLEEP: Final = "sleep 0.1"
COMPUTE: Final = "compute 0.05"
PROCESSES: Final = (1, 2, 4)
SLEEP_GOAL: Final = 3.0  # times the throughput, with four processes instead of one
START_TIMEOUT: Final = 30.0  # seconds
BACKEND: Final = "bench.backend:timed"


@contextmanager
def _worker(url: str, processes: int) -> Iterator[None]:
    command = [sys.executable, "-m", "persona_stream", "work", "--backend", BACKEND, "--redis-url", url]
    command += ["--concurrency", str(processes), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _server(executor: str, *flags: str) -> Server:
    command = (*OURS.command, "--executor", executor, "--backend", BACKEND, *flags)
    return OURS._replace(name=executor, title=f"executor {executor}", command=command)


def _all_cores() -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


def _ask(connection: http.client.HTTPConnection, message: str, token: str) -> bool:
    body = msgspec.json.encode({"username": "bench", "message": message})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/chat", body, headers)
    response = connection.getresponse()
    response.read()
    return response.status == 200


def _wait_for_slots(port: int, slots: int) -> None:
    until = time.monotonic() + START_TIMEOUT
    while True:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/readyz")
            health = msgspec.json.decode(connection.getresponse().read())
        if sum(worker["slots"] for worker in health.get("workers", ())) == slots:
            return
        if time.monotonic() > until:
            raise ConfigurationError(f"the workers did not start: {health}")
        time.sleep(0.2)


def _latency(port: int) -> float:
    """Return the median time of an instant query in milliseconds."""
    token = tokens()[0]
    times = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for number in range(INSTANT + 20):
            began = time.perf_counter()
            if not _ask(connection, "instant", token):
                raise ConfigurationError("a query was refused")
            if number >= 20:  # the first ones are a warm-up
                times.append(time.perf_counter() - began)
    return 1000 * median(times)


def _throughput(port: int, message: str) -> float:
    """Return how many queries a second are answered to clients that each ask again at once."""
    counts = [0] * CLIENTS
    until = time.monotonic() + SECONDS

    def ask_repeatedly(number: int) -> None:
        token = tokens()[0]
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while time.monotonic() < until:
                counts[number] += _ask(connection, message, token) and time.monotonic() < until

    threads = [threading.Thread(target=ask_repeatedly, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def measure_steps() -> list[str]:
    """Measure the time of an instant query at each place."""
    rows = []
    for name, title in (
        ("greenlet", "greenlet of the server"),
        ("auto", "worker process with threads"),
        ("process", "worker processes, one query at a time"),
    ):
        with started(_server(name), _all_cores()) as running:
            rows.append(f"| {title} | {_latency(running.port):.1f} ms |")
    with ExitStack() as stack:
        url, _ = stack.enter_context(running_redis())
        stack.enter_context(_worker(url, 1))
        server = stack.enter_context(started(_server("celery", "--redis-url", url), _all_cores()))
        _wait_for_slots(server.port, 1)
        rows.append(f"| Celery worker, prefork | {_latency(server.port):.1f} ms |")
    return rows


def measure_throughput() -> list[str | Verdict]:
    """Measure the throughput of Celery workers."""
    found: dict[str, list[float]] = {SLEEP: [], COMPUTE: []}
    for count in PROCESSES:
        with ExitStack() as stack:
            url, _ = stack.enter_context(running_redis())
            stack.enter_context(_worker(url, count))
            server = stack.enter_context(started(_server("celery", "--redis-url", url), _all_cores()))
            _wait_for_slots(server.port, count)
            for message, rates in found.items():
                rates.append(_throughput(server.port, message))
    rows = [
        f"| {message} s | " + " | ".join(f"{rate:.1f}" for rate in rates) + f" | {rates[-1] / rates[0]:.1f} × |"
        for message, rates in found.items()
    ]
    growth = found[SLEEP][-1] / found[SLEEP][0]
    text = f"throughput of queries that wait at least {SLEEP_GOAL:g} × with four processes: {growth:.1f} ×"
    return [*rows, "", Verdict(growth >= SLEEP_GOAL, text)]


def section() -> Section:
    """Run the benchmark and return its section of the report."""
    steps = measure_steps()
    throughput = measure_throughput()
    return Section(
        "Scaling",
        "Median time of an instant query, asked one after the other:",
        "",
        "| the query runs in | |",
        "|---|---:|",
        *steps,
        "",
        f"Queries a second of {CLIENTS} clients that each ask again at once, by the number of processes of the Celery "
        "worker. Server, worker, Redis and clients share the machine, so queries that compute are bounded by its "
        "processors.",
        "",
        f"| query | {' | '.join(map(str, PROCESSES))} | growth |",
        "|---|" + "---:|" * (len(PROCESSES) + 1),
        *throughput,
    )


if __name__ == "__main__":
    print("\n".join(section().lines()))
