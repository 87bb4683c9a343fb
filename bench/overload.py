"""Overload: three times the arrivals that the slots can serve.

Admitted streams must be served as usual, the others queued or rejected at once.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import msgspec

from bench import procfs
from bench.load import OverloadResult
from bench.metrics import Verdict, rounds_text
from bench.report import Section
from bench.servers import OURS, ROOT, ConfigurationError, started
from bench.workload import Scenario, burst

SLOTS: Final = 200
QUEUE: Final = 200
SECONDS: Final = 10.0
"""Seconds that the backend takes: with 200 slots the server can start 20 runs per second."""
OVERLOAD_FACTOR: Final = 3.0
ARRIVAL_TIME: Final = 30.0
JITTER_GOAL: Final = 0.5
RESPONSE_GOAL: Final = 0.1


def _scenario() -> Scenario:
    rate = OVERLOAD_FACTOR * SLOTS / SECONDS
    return Scenario(name="overload", streams=round(rate * ARRIVAL_TIME), rate=rate, seconds=SECONDS)


def measure() -> tuple[OverloadResult, float]:
    """Return the result of an overload, and the CPU seconds of the server.

    Raises:
        ConfigurationError: the server did not start, or did not recover from the overload.
    """
    client_core, server_core = procfs.cores()
    limits = ("--max-runs", str(SLOTS), "--max-queue", str(QUEUE), "--max-runs-per-user", str(SLOTS + QUEUE))
    server = OURS._replace(name="overload", title="with limits", command=(*OURS.command, *limits))
    with started(server, server_core) as running:
        _load(running.port, burst(20), client_core)  # warm-up
        cpu = procfs.cpu_seconds(running.pid)
        found = _load(running.port, _scenario(), client_core)
        cpu = procfs.cpu_seconds(running.pid) - cpu
        after = _load(running.port, burst(20), client_core)
    if after.whole != 20:
        raise ConfigurationError(f"after the overload, {after.whole} of 20 streams were complete: {after.errors}")
    return found, cpu


def _load(port: int, scenario: Scenario, core: int) -> OverloadResult:
    command = [sys.executable, "-m", "bench.load", str(port), msgspec.json.encode(scenario).decode()]
    done = subprocess.run(["taskset", "-c", str(core), *command], cwd=ROOT, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=OverloadResult)


def section(rounds: int) -> Section:
    """Run the benchmark and return its section of the report."""
    results = []
    for _ in range(rounds):
        result, cpu = measure()
        results.append(result)
        print(
            f"  overload: {result.whole} complete, {result.queued} of them queued, {result.refused} rejected,"
            f" {result.lost} lost · cpu {cpu:.1f} s · p99: progress jitter {1000 * result.late.p99:.0f} ms,"
            f" queued after {1000 * result.first_position.p99:.0f} ms,"
            f" rejected after {1000 * result.turned_away.p99:.0f} ms",
            flush=True,
        )
        for why, times in result.errors.items():
            print(f"    {times} x {why}")
    lost = sum(result.lost for result in results)
    late = max(result.late.p99 for result in results)
    queued = max(result.first_position.p99 for result in results)
    rejected = max(result.turned_away.p99 for result in results)
    last = results[-1]
    scenario = _scenario()
    return Section(
        "Overload",
        f"{scenario.load} With {SLOTS} slots (`max_runs`) {SLOTS / SECONDS:g} per second can start, and "
        f"{OVERLOAD_FACTOR:g} times as many arrive; {QUEUE} can be queued (`max_queue`). Of {scenario.streams:,} "
        f"queries, {last.whole:,} were answered, {last.queued:,} of them after waiting in the queue, and "
        f"{last.refused:,} were rejected with 429. The worst of {rounds_text(rounds)}, at p99:",
        "",
        Verdict(lost == 0, f"no streams lost ({lost})"),
        Verdict(
            late <= JITTER_GOAL,
            f"progress jitter of admitted streams at most {1000 * JITTER_GOAL:g} ms: {1000 * late:.0f} ms",
        ),
        Verdict(
            queued <= RESPONSE_GOAL, f"first queue event within {1000 * RESPONSE_GOAL:g} ms: {1000 * queued:.0f} ms"
        ),
        Verdict(rejected <= RESPONSE_GOAL, f"rejection within {1000 * RESPONSE_GOAL:g} ms: {1000 * rejected:.0f} ms"),
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1).lines()))
