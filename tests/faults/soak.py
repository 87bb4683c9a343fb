"""Everything that clients do, for as long as one likes, from a seed that is printed: ``make soak``.

One server, with its store, answers a mixed crowd at 60 % of what the machine can take. After a warm-up, and again in
the end, the load stops, what is kept of runs passes, and what the process holds is counted: it must be the same. And
every run is accounted for, by the clients that asked, by the server's metrics, and by its log in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults import process_stats as vitals
from tests.faults.accounts import logged, metered
from tests.faults.findings import Found, judge, table
from tests.faults.load import Load, capacity
from tests.faults.process_stats import Vitals
from tests.faults.run_ledger import Ending, Ledger
from tests.faults.scenarios import ALL, CROWD
from tests.server_process import ServerProcess, serve

_SHARE: Final = 0.6  # of what the machine can take
_STAY: Final = 4.0  # seconds that a client of the mixture is there, about
_SILENCE: Final = 12.0  # seconds: the interval, and what a busy machine may add


class Plan(NamedTuple):
    """Say how long it takes, in seconds, and how hard it is.

    Attributes:
        seconds: of load. ``warm_up``: those at the beginning that are not compared.
        rate: clients a second; ``None`` is 60 % of what the machine can take.
        retention: how long the server keeps runs. ``deadline``: of a run.
    """

    seconds: float
    warm_up: float
    rate: float | None = None
    retention: float = 15.0
    deadline: float = 8.0


def _server(folder: Path, plan: Plan, rate: float) -> ServerProcess:
    places = max(20, round(1.5 * _STAY * rate))
    return serve(
        "tests.faults.tasks:work",
        max_runs=places,
        max_queue=places,
        max_runs_per_user=10 * places,
        timeout=plan.deadline,
        retention=plan.retention,
        disconnect_grace=2,
        disconnect_grace_v1=0.5,
        database_url=f"sqlite:///{folder / 'log.sqlite'}",
        state_dir=folder,
        log_level="warning",
    )


def _count(server: ServerProcess, ledger: Ledger, plan: Plan) -> Vitals:
    """Count what the server holds, once nothing is under way and nothing is kept."""
    vitals.wait_until_quiet(server, 60)
    time.sleep(plan.retention + 1)  # what is kept of runs has passed
    server.get("/api/runs")  # and whoever looks has it thrown away
    found, run_id = vitals.look(server)
    ledger.began(run_id)
    ledger.ended(run_id, Ending("complete", "none"))
    return found


def soak(plan: Plan, seed: int) -> Found:
    """Do it."""
    dice, ledger = random.Random(seed), Ledger()
    rate = plan.rate or _SHARE * _capacity(dice)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        server = _server(folder, plan, rate)
        try:
            load = Load(server, ledger, dice, rate)
            asyncio.run(load.run(plan.warm_up))
            before = _count(server, ledger, plan)
            asyncio.run(load.run(plan.seconds - plan.warm_up))
            after = _count(server, ledger, plan)
            seen = vitals.wait_until_quiet(server, 10)
            lag = seen("hub_lag_seconds_sum") / max(1.0, seen("hub_lag_seconds_count"))
            counted = metered(server)
            log = server.log
        finally:
            code = server.stop()
        wrong = [*_judged(ledger, log)]
        if code:
            wrong.append(f"the server ended with {code}")
        kept = logged(folder / "log.sqlite")._replace(refused=ledger.counts.refused)
        return Found(before, after, ledger.counts, counted, kept, lag, wrong)


def _capacity(dice: random.Random) -> float:
    """Give how many clients a second the machine can take."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        server = _server(Path(name), Plan(0, 0), rate=1000)
        try:
            return asyncio.run(capacity(server, Path(name) / "log.sqlite", dice))
        finally:
            server.stop()


def _judged(ledger: Ledger, log: str) -> Iterator[str]:
    for what, times in ledger.wrong.items():
        yield f"{times} x {what}"
    if ledger.open:
        yield f"{ledger.open} runs whose ending nobody has heard of"
    if ledger.silence > _SILENCE:
        yield f"a reader heard nothing for {ledger.silence:.1f} s"
    provoked = ledger.counts.ended.get(Ending("error", "internal"), 0)
    if (found := log.count("Traceback (most recent call last)")) != provoked:
        yield f"{found} tracebacks in the log, of which {provoked} were asked for: {log[-2000:]}"
    for kind in (*ALL, CROWD):
        if not ledger.kinds[kind.name]:
            yield f"nobody came to {kind.name}"
    if not ledger.queued:
        yield "nobody had to wait for a place"


def run(plan: Plan, seed: int) -> int:
    """Soak, show what was found, and give the exit code."""
    print(f"soak for {plan.seconds:g} s with --seed {seed}", flush=True)
    found = soak(plan, seed)
    wrong = judge(found)
    for line in table(found):
        print(line)
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="of load (1800)")
    parser.add_argument("--rate", type=float, help="clients a second (60 %% of what the machine can take)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    return run(Plan(asked.seconds, min(120.0, asked.seconds / 3), asked.rate), asked.seed)


if __name__ == "__main__":
    sys.exit(main())
