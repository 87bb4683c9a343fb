"""Write docs/BENCHMARKS.md, and the same for the terminal. No number here is written by hand."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench import procfs, servers
from bench.measurement import Measurement
from bench.metrics import AIM_STREAMS, METRICS, Comparison, Verdict, compare, verdicts
from bench.sections import Part
from bench.servers import Server
from bench.workload import ANSWER, INTERVAL, PAUSE, PIECES, Scenario

FOREIGN = 0.05
"""The share of the machine that others may take before the report says that figures are doubtful."""
BUSY_CLIENT = 0.6
"""The same for the share of its core that the client takes."""


class Result(NamedTuple):
    """All measurements of one scenario, by the server's name; why a server could not be measured is in ``failed``."""

    scenario: Scenario
    measured: dict[str, list[Measurement]]
    failed: dict[str, str]

    def comparisons(self) -> list[Comparison]:
        """Compare every metric that the scenario has."""
        found = (compare(metric, self.measured) for metric in METRICS)
        return [comparison for comparison in found if comparison is not None]

    def verdicts(self) -> list[Verdict]:
        """Hold the scenario against the aims, if it is the one they are stated for."""
        if self.scenario.streams != AIM_STREAMS or not self.scenario.has_plateau:
            return []
        return verdicts(self.scenario.streams, self.measured, self.comparisons())

    def doubts(self) -> Iterator[str]:
        """Say what makes the figures less than certain, and which streams failed."""
        for name, why in self.failed.items():
            yield f"**{name} could not be measured**: {why}"
        for name, measurements in self.measured.items():
            lost = sum(one.tally.lost for one in measurements)
            if lost:
                reasons = {why: count for one in measurements for why, count in one.tally.wrong.items()}
                listed = "; ".join(f"{count} × {why}" for why, count in reasons.items())
                yield f"**{name} lost {lost} of {sum(one.tally.streams for one in measurements):,} streams**: {listed}"
        everything = [one for measurements in self.measured.values() for one in measurements]
        foreign = max((one.foreign_share for one in everything), default=0.0)
        if foreign > FOREIGN:
            yield f"up to {foreign:.0%} of the machine was taken by others during a round: run again on a quiet one"
        client = max((one.tally.client_cpu / one.tally.wall for one in everything if one.tally.wall), default=0.0)
        if client > BUSY_CLIENT:
            yield f"the client was busy for up to {client:.0%} of the time: latencies hold some of its own"


def line(server: Server, one: Measurement) -> str:
    """Say in one line what one measurement found."""
    tally, shown = one.tally, []
    for metric in METRICS:
        value = metric.of(one)
        if value is not None and metric.name in _IN_A_LINE:
            shown.append(f"{_IN_A_LINE[metric.name]} {metric.show(value)}")
    lost = f"LOST {tally.lost} ({'; '.join(tally.wrong)})" if tally.lost else "lost 0"
    return f"  {server.name:14}{lost} · {' · '.join(shown)} · others {one.foreign_share:.0%}"


_IN_A_LINE = {
    "waiting at the same time": "waiting",
    "CPU": "cpu",
    "CPU per stream": "per stream",
    "memory per waiting stream": "mem",
    "first event p50": "first p50",
    "first event p99": "p99",
    "progress jitter p50": "jitter p50",
    "progress jitter p99": "p99",
    "delivery of the answer p50": "delivery",
    "all complete after": "all after",
    "whole stream p99": "whole p99",
    "events per second, busiest second": "peak ev/s",
    "events per stream": "ev/stream",
    "the client's own CPU": "client",
}


def verdict(reached: bool) -> str:
    """Say whether an aim was reached."""
    return "reached" if reached else "**not reached**"


def _lost(measurements: Sequence[Measurement] | None) -> str:
    return str(sum(one.tally.lost for one in measurements)) if measurements else "–"


def table(result: Result, shown: Sequence[Server]) -> Iterator[str]:
    """Write a scenario's table as Markdown."""
    yield (
        f"| median of {max(map(len, result.measured.values()), default=0)} rounds | "
        + " | ".join(server.title for server in shown)
        + " | ours ÷ better peer |"
    )
    yield "|---|" + "---:|" * (len(shown) + 1)
    yield f"| streams lost | {' | '.join(_lost(result.measured.get(server.name)) for server in shown)} | |"
    for metric, medians, ratio in result.comparisons():
        values = " | ".join(metric.show(medians.get(server.name)) for server in shown)
        yield f"| {metric.name} | {values} | {'' if ratio is None else f'{ratio:.2f}'} |"


def aims(results: Sequence[Result]) -> Iterator[str]:
    """Write which aims were reached, and which were not."""
    for result in results:
        for reached, text in result.verdicts():
            yield f"- {verdict(reached)}: {text}"


def document(
    results: Sequence[Result], more: Sequence[str], parts: Sequence[Part], shown: Sequence[Server], command: str
) -> str:
    """Write the whole report."""
    now = datetime.datetime.now(datetime.UTC)
    text = [
        "# Benchmarks",
        "",
        f"Written by `{command}` on {now:%Y-%m-%d %H:%M} UTC. Every number comes from that run.",
        "",
        f"Machine: {procfs.machine()}.",
        "",
        *(f"- {title}: {names}" for title, names in servers.versions()),
        "",
        *_ABOUT,
    ]
    if said := list(aims(results)):
        text += ["", f"## The aims, with {AIM_STREAMS:,} waiting streams", "", *said]
    for result in results:
        text += ["", f"## {result.scenario.name[0].upper()}{result.scenario.name[1:]}"]
        text += ["", f"{result.scenario.load} {_ANSWER}", "", *table(result, shown)]
        if doubts := [f"- {doubt}" for doubt in result.doubts()]:
            text += ["", *doubts]
    text += more
    if parts:
        text += ["", "## Parts", "", "| one core, best of several | time |", "|---|---:|"]
        text += [f"| {each.name} | {each.microseconds:,.2f} µs |" for each in parts]
    return "\n".join([*text, ""])


_ANSWER = (
    f"Progress every {INTERVAL:g} s, then an answer of {len(ANSWER)} characters in {PIECES} pieces with {PAUSE:g} s "
    "between them."
)

_ABOUT = (
    "Each server runs in one process, alone on one core, and one client process on another. Rounds take the servers "
    "in turn, forwards and backwards, and a fresh process each time. Every server verifies the token (HS256, "
    "remembered once verified) and checks the body. Every stream is checked from its first event to its ending: one "
    "that lacks a character or an event, or has one twice, counts as lost.",
    "",
    "The peers run on uvicorn with uvloop and httptools, and do less: their backend is an `await` on their own event "
    "loop, and no run of theirs can be resumed, cancelled or looked up. Ours calls a blocking function.",
    "",
    "First event: from the beginning of the connect. Jitter: how far a progress event is from where the stream's "
    "first one and the interval put it, early or late; an event that is late by more than an interval is left out and "
    "counted as skipped. Memory: resident, in the moment when all should be waiting, less the idle server's, for each "
    "stream that does wait. The better peer is chosen for each row.",
)
