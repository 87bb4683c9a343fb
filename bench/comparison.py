"""Effect of a CPU-bound query on the progress events of other streams, by executor: ``python -m bench.comparison``.

Each executor serves one query that computes in Python, and others that wait; the jitter of their progress events is
measured with the client of the other benchmarks.
"""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from bench.results import LoadResult
from bench.servers import OURS, ROOT, ConfigurationError, Server, started
from bench.workload import PATH, Scenario, tokens, waiting

_EXTRA_SPIN_TIME = 20.0  # seconds that the CPU-bound query continues after the others
_DEFAULT_COUNTS = {"thread": 20, "process": 200}


def _server(executor: str, others: int) -> Server:
    flags = (
        "--executor",
        executor,
        "--threads",
        str(others + 2),
        "--max-runs-per-user",
        str(others + 2),
        "--timeout",
        "600",
        "--backend",
        "bench.backend:either",
    )
    return OURS._replace(name=executor, title=f"executor {executor}", command=(*OURS.command, *flags))


def _ask(port: int, message: str) -> None:
    """Send one request and read the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = msgspec.json.encode({"username": "bench", "message": message})
    headers = {"Authorization": f"Bearer {tokens()[0]}", "Content-Type": "application/json"}
    with closing(connection), suppress(OSError, http.client.HTTPException):  # the server stops earlier
        connection.request("POST", PATH, body, headers)
        connection.getresponse().read()


def _gather(port: int, count: int) -> None:
    """Start the worker processes, because their startup is not part of the measurement.

    They wait for each other, so they are idle from the same moment on. With a fixed time each, the first ones would be
    stopped as idle on a busy machine before the last ones have started.

    Raises:
        ConfigurationError: some processes did not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        threads = [threading.Thread(target=_ask, args=(port, f"gather {count} {folder}")) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if (started_count := sum(1 for _ in Path(folder).iterdir())) < count:
            raise ConfigurationError(f"{started_count} of {count} processes started")


def _load(port: int, scenario: Scenario) -> LoadResult:
    command = [sys.executable, "-m", "bench.client", str(port), msgspec.json.encode(scenario).decode()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=LoadResult)


def measure(executor: str, others: int, seconds: float, *, beside: bool = True) -> LoadResult:
    """Measure ``others`` streams that wait for so many seconds, ``beside`` a CPU-bound query or alone."""
    scenario = waiting(others, seconds=seconds, rate=others / 2)
    with started(_server(executor, others), "0-1023") as server:
        if executor == "process":
            _gather(server.port, others + 1)
        computing = threading.Thread(
            target=_ask, args=(server.port, f"spin {scenario.arriving + seconds + _EXTRA_SPIN_TIME}"), daemon=True
        )
        if beside:
            computing.start()
        return _load(server.port, scenario)


def main() -> None:
    """Measure the selected executors and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.comparison", description=__doc__)
    parser.add_argument("--only", choices=_DEFAULT_COUNTS, action="append", help="measure this executor; repeatable")
    parser.add_argument("--others", type=int, help="streams that wait (20 for threads, 200 for processes)")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds that each stream waits (20)")
    parser.add_argument("--alone", action="store_true", help="without the CPU-bound query")
    options = parser.parse_args()
    for executor in options.only or _DEFAULT_COUNTS:
        others = options.others or _DEFAULT_COUNTS[executor]
        found = measure(executor, others, options.seconds, beside=not options.alone)
        p50, p99, maximum = (1000 * value for value in (found.jitter.p50, found.jitter.p99, found.jitter.max))
        print(
            f"{executor:8} {others} streams: progress jitter {p50:.1f} ms (p50), {p99:.1f} ms (p99), {maximum:.1f} ms"
            f" (max); {found.lost} lost, {found.skipped} skipped",
            flush=True,
        )
        for why, count in found.errors.items():
            print(f"    {count} x {why}")


if __name__ == "__main__":
    main()
