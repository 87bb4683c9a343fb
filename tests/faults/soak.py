"""Soak test (``make soak``): mixed load from a printed seed, with leak detection and accounting.

One server with a database serves virtual users at 60 % of the machine's capacity. After a warm-up and at the end, the
load stops, finished runs expire, and the resources of the process are measured: they must be equal within limits. The
allocated memory is also sampled once a minute under load: in the second half of the test its trend must be flat. The
counts of runs must agree between the clients, the metrics and the request log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults import process_stats
from tests.faults.load import Load, capacity
from tests.faults.process_stats import ProcessStats
from tests.faults.run_ledger import Ending, RunLedger
from tests.faults.scenarios import ALL, CROWD
from tests.faults.scripted_backend import FAULT
from tests.faults.server_counts import counts_from_log, counts_from_metrics
from tests.faults.soak_report import MemorySample, SoakResult, find_errors, table
from tests.server_process import ServerProcess, serve

_LOAD_FACTOR: Final = 0.6  # of the capacity
_MEAN_USER_TIME: Final = 4.0  # seconds
_SAMPLE_INTERVAL: Final = 60.0  # seconds: a multiple of the interval of the bursts of load
_MAX_SILENCE: Final = 12.0  # seconds: the interval, plus delays of a busy machine
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):\n(?:(?!\d{4}-\d\d-\d\d ).*\n?)*")


class Plan(NamedTuple):
    """Parameters of a soak test.

    Attributes:
        seconds: the duration of the load.
        warm_up: the seconds before the first measurement.
        rate: the users per second; ``None`` for 60 % of the capacity.
        retention: the retention of runs in seconds.
        deadline: the deadline of runs in seconds.
    """

    seconds: float
    warm_up: float
    rate: float | None = None
    retention: float = 15.0
    deadline: float = 8.0


def _server(folder: Path, plan: Plan, rate: float) -> ServerProcess:
    slots = max(20, round(1.5 * _MEAN_USER_TIME * rate))
    return serve(
        "tests.faults.scripted_backend:work",
        environ={"PYTHONMALLOC": "malloc"},  # glibc counts what is allocated
        executor="greenlet",  # counts the objects of the server
        max_runs=slots,
        max_queue=slots,
        max_runs_per_user=10 * slots,
        timeout=plan.deadline,
        retention=plan.retention,
        disconnect_grace=2,
        disconnect_grace_v1=0.5,
        database_url=f"sqlite:///{folder / 'log.sqlite'}",
        state_dir=folder,
        log_level="warning",
    )


def _measure(server: ServerProcess, ledger: RunLedger, plan: Plan) -> ProcessStats:
    """Return the resources of the server when it is idle and all runs have expired."""
    process_stats.wait_until_idle(server, 60)
    time.sleep(plan.retention + 1)
    server.get("/api/runs")  # evicts expired runs
    stats, run_id = process_stats.measure(server)
    ledger.began(run_id)
    ledger.ended(run_id, Ending("complete", "none"))
    return stats


def soak(plan: Plan, seed: int) -> SoakResult:
    """Run a soak test."""
    rng = random.Random(seed)
    ledger = RunLedger()
    rate = plan.rate or _LOAD_FACTOR * _capacity(rng)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        server = _server(folder, plan, rate)
        try:
            load = Load(server, ledger, rng, rate)
            asyncio.run(load.run(plan.warm_up))
            before = _measure(server, ledger, plan)
            samples = asyncio.run(_run_with_samples(load, server, ledger, plan.seconds - plan.warm_up))
            after = _measure(server, ledger, plan)
            seen = process_stats.wait_until_idle(server, 10)
            lag = seen("hub_lag_seconds_sum") / max(1.0, seen("hub_lag_seconds_count"))
            counted = counts_from_metrics(server)
            log = server.log
        finally:
            code = server.stop()
        errors = [*_client_errors(ledger, log)]
        if code:
            errors.append(f"the server ended with {code}")
        kept = counts_from_log(folder / "log.sqlite")._replace(refused=ledger.counts.refused)
        return SoakResult(before, after, samples, ledger.counts, counted, kept, lag, errors)


async def _run_with_samples(load: Load, server: ServerProcess, ledger: RunLedger, seconds: float) -> list[MemorySample]:
    """Run a load for so many seconds and return samples of the allocated memory."""
    samples: list[MemorySample] = []
    finished = asyncio.Event()

    async def sample() -> None:
        began = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(finished.wait(), _SAMPLE_INTERVAL)
                return
            moment = time.monotonic() - began
            response = await asyncio.to_thread(
                server.post, "/api/chat", {"username": "census", "message": "allocated 0"}, user="census"
            )
            if not response.ok:
                ledger.refused()
                continue
            answered = response.json()
            samples.append(MemorySample(moment, int(answered["data"])))
            ledger.began(answered["run_id"])
            ledger.ended(answered["run_id"], Ending("complete", "none"))

    sampler = asyncio.create_task(sample())
    await load.run(seconds)
    finished.set()
    await sampler
    return samples


def _capacity(rng: random.Random) -> float:
    """Return the capacity of the machine in clients per second."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        server = _server(Path(name), Plan(0, 0), rate=1000)
        try:
            return asyncio.run(capacity(server, Path(name) / "log.sqlite", rng))
        finally:
            server.stop()


def _client_errors(ledger: RunLedger, log: str) -> Iterator[str]:
    for what, times in ledger.errors.items():
        yield f"{times} x {what}"
    if ledger.open:
        yield f"{ledger.open} runs without a recorded end"
    if ledger.silence > _MAX_SILENCE:
        yield f"a stream was silent for {ledger.silence:.1f} s"
    # A provoked one may belong to a run that was cancelled at the same moment.
    if unprovoked := [each for each in _TRACEBACK.findall(log) if FAULT not in each]:
        yield f"{len(unprovoked)} unprovoked tracebacks in the log: {unprovoked[0][-2000:]}"
    if (found := log.count(FAULT)) < (provoked := ledger.counts.ended.get(Ending("error", "internal"), 0)):
        yield f"{found} provoked tracebacks in the log, but {provoked} runs failed by one"
    for kind in (*ALL, CROWD):
        if not ledger.kinds[kind.name]:
            yield f"no user played the scenario {kind.name}"
    if not ledger.queued:
        yield "no run was queued"


def run(plan: Plan, seed: int) -> int:
    """Run a soak test, print its report and return the exit code."""
    print(f"soak for {plan.seconds:g} s with --seed {seed}", flush=True)
    found = soak(plan, seed)
    errors = find_errors(found)
    for line in table(found):
        print(line)
    for line in errors:
        print(f"ERROR: {line}")
    return 1 if errors else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="duration of the load (1800)")
    parser.add_argument("--rate", type=float, help="clients per second (60 %% of the capacity)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    return run(Plan(options.seconds, min(120.0, options.seconds / 3), options.rate), options.seed)


if __name__ == "__main__":
    sys.exit(main())
