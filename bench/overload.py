"""What happens when three times as many come as there are places for: who is let in is served as ever, and the others
are told at once that they wait, or that they have to come again."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import msgspec

from bench import procfs
from bench.load import Crowd
from bench.report import verdict
from bench.servers import OURS, ROOT, ConfigurationError, started
from bench.workload import Scenario, burst

PLACES: Final = 200
QUEUE: Final = 200
SECONDS: Final = 10.0
"""How long a backend takes: with 200 places, 20 a second are what the server can run."""
TIMES: Final = 3.0
ARRIVING: Final = 30.0
PROGRESS_AIM: Final = 0.5
TOLD_AIM: Final = 0.1


def _scenario() -> Scenario:
    rate = TIMES * PLACES / SECONDS
    return Scenario(name="overload", streams=round(rate * ARRIVING), rate=rate, seconds=SECONDS)


def measure() -> tuple[Crowd, float]:
    """Have the crowd come; give what became of it, and the CPU seconds of the server.

    Raises:
        ConfigurationError: the server did not start, or did not live through it.
    """
    client_core, server_core = procfs.cores()
    bounds = ("--max-runs", str(PLACES), "--max-queue", str(QUEUE), "--max-runs-per-user", str(PLACES + QUEUE))
    server = OURS._replace(name="overload", title="with bounds", command=(*OURS.command, *bounds))
    with started(server, server_core) as running:
        _come(running.port, burst(20), client_core)  # what is imported and made once is not what is measured
        cpu = procfs.cpu_seconds(running.pid)
        found = _come(running.port, _scenario(), client_core)
        cpu = procfs.cpu_seconds(running.pid) - cpu
        after = _come(running.port, burst(20), client_core)
    if after.whole != 20:
        raise ConfigurationError(f"afterwards {after.whole} of 20 streams were whole: {after.wrong}")
    return found, cpu


def _come(port: int, scenario: Scenario, core: int) -> Crowd:
    command = [sys.executable, "-m", "bench.load", str(port), msgspec.json.encode(scenario).decode()]
    done = subprocess.run(["taskset", "-c", str(core), *command], cwd=ROOT, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Crowd)


def section(rounds: int) -> list[str]:
    """Measure, and write the section of the report."""
    crowds = []
    for _ in range(rounds):
        crowd, cpu = measure()
        crowds.append(crowd)
        print(
            f"  overload: {crowd.whole} whole, {crowd.queued} of them queued, {crowd.refused} refused,"
            f" {crowd.lost} lost · cpu {cpu:.1f} s · p99: progress late by {1000 * crowd.late.p99:.0f} ms,"
            f" told after {1000 * crowd.told.p99:.0f} ms, refused after {1000 * crowd.turned_away.p99:.0f} ms",
            flush=True,
        )
        for why, times in crowd.wrong.items():
            print(f"    {times} x {why}")
    lost = sum(crowd.lost for crowd in crowds)
    late, told, away = (
        max(spread.p99 for spread in spreads)
        for spreads in zip(*((crowd.late, crowd.told, crowd.turned_away) for crowd in crowds), strict=True)
    )
    last = crowds[-1]
    scenario = _scenario()
    return [
        "",
        "## Overload",
        "",
        f"{scenario.load} There are {PLACES} places (`max_runs`), so {PLACES / SECONDS:g} a second can run, and "
        f"{TIMES:g} times as many come; {QUEUE} may wait (`max_queue`). Of {scenario.streams:,}, {last.whole:,} were "
        f"answered, {last.queued:,} of them after a wait, and {last.refused:,} were refused with 429. The worst of "
        f"{rounds} rounds, at p99:",
        "",
        f"- {verdict(lost == 0)}: none lost ({lost})",
        f"- {verdict(late <= PROGRESS_AIM)}: the progress of those who are let in comes within "
        f"{1000 * PROGRESS_AIM:g} ms of its time: {1000 * late:.0f} ms",
        f"- {verdict(told <= TOLD_AIM)}: who waits is told within {1000 * TOLD_AIM:g} ms: {1000 * told:.0f} ms",
        f"- {verdict(away <= TOLD_AIM)}: who is refused is told within {1000 * TOLD_AIM:g} ms: {1000 * away:.0f} ms",
    ]


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section(1)))
