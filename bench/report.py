"""Report of the benchmarks: docs/BENCHMARKS.md, and lines for the terminal. All figures are measured."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench import procfs, servers
from bench.measurement import Measurement
from bench.metrics import HEADLINES, METRICS, PEERS, Comparison, Verdict, compare, rounds_text, verdicts
from bench.sections import MicroBenchmark
from bench.servers import Server
from bench.workload import ANSWER, CHUNK_COUNT, INTERVAL, PAUSE, Scenario

MAX_FOREIGN_LOAD = 0.05
"""Share of the machine used by other processes above which the report adds a caveat."""
MAX_CLIENT_LOAD = 0.6
"""Share of its core used by the client above which the report adds a caveat."""


class Result(NamedTuple):
    """Measurements of one scenario by server name, and the reasons for missing ones in ``failed``."""

    scenario: Scenario
    measured: dict[str, list[Measurement]]
    failed: dict[str, str]

    def comparisons(self) -> list[Comparison]:
        """Return the comparisons of all metrics of the scenario."""
        found = (compare(metric, self.measured) for metric in METRICS)
        return [comparison for comparison in found if comparison is not None]

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts on the goals, if they apply to this scenario."""
        return verdicts(self.scenario, self.measured, self.comparisons())

    def caveats(self) -> Iterator[str]:
        """Yield remarks on the reliability of the figures, and the lost streams."""
        for name, why in self.failed.items():
            yield f"**{name} could not be measured**: {why}"
        for name, measurements in self.measured.items():
            lost = sum(one.result.lost for one in measurements)
            if lost:
                reasons = {why: count for one in measurements for why, count in one.result.errors.items()}
                listed = "; ".join(f"{count} × {why}" for why, count in reasons.items())
                yield f"**{name} lost {lost} of {sum(one.result.streams for one in measurements):,} streams**: {listed}"
        everything = [one for measurements in self.measured.values() for one in measurements]
        foreign = max((one.foreign_share for one in everything), default=0.0)
        if foreign > MAX_FOREIGN_LOAD:
            yield f"other processes used up to {foreign:.0%} of the machine during a round; repeat on an idle machine"
        client = max((one.result.client_cpu / one.result.wall for one in everything if one.result.wall), default=0.0)
        if client > MAX_CLIENT_LOAD:
            yield f"the client used up to {client:.0%} of its core; latencies include some of its own"


class Section:
    """Section of the report on a benchmark of persona_stream alone.

    Its parts are lines and verdicts on goals; ``tabled`` are the verdicts whose lines are rows of a table.
    """

    def __init__(self, title: str, *parts: str | Verdict, tabled: Sequence[Verdict] = ()) -> None:
        self.title: Final = title
        self.parts: Final = parts
        self.tabled: Final = tabled

    def lines(self) -> Iterator[str]:
        """Yield the Markdown lines, with an empty one first."""
        yield from ("", f"## {self.title}", "")
        for part in self.parts:
            yield part if isinstance(part, str) else f"- {verdict(part.reached)}: {part.text}"

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts, each with the title of the section."""
        found = [*(part for part in self.parts if isinstance(part, Verdict)), *self.tabled]
        return [Verdict(reached, f"{self.title}: {text}") for reached, text in found]


def write_section(document: Path, command: str, text: str) -> None:
    """Replace the section of a document that a command writes: it stands between two comments."""
    section = re.compile(rf"(<!-- {re.escape(command)} -->\n).*?(<!-- end -->)", re.DOTALL)
    written = section.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", document.read_text("utf-8"))
    document.write_text(written, "utf-8")


def line(server: Server, one: Measurement) -> str:
    """Return one line with the main figures of a measurement."""
    tally = one.result
    shown = []
    for metric in METRICS:
        value = metric.of(one)
        if value is not None and metric.name in _SHORT_NAMES:
            shown.append(f"{_SHORT_NAMES[metric.name]} {metric.show(value)}")
    lost = f"LOST {tally.lost} ({'; '.join(tally.errors)})" if tally.lost else "lost 0"
    return f"  {server.name:14}{lost} · {' · '.join(shown)} · other processes {one.foreign_share:.0%}"


_SHORT_NAMES = {
    "concurrent waiting streams": "waiting",
    "CPU": "cpu",
    "CPU per stream": "per stream",
    "memory per waiting stream": "mem",
    "first event p50": "first p50",
    "first event p99": "p99",
    "progress jitter p50": "jitter p50",
    "progress jitter p99": "p99",
    "delivery of the answer p50": "delivery",
    "all complete after": "all after",
    "complete stream p99": "complete p99",
    "events per second, busiest second": "peak ev/s",
    "events per stream": "ev/stream",
    "CPU of the client": "client",
}


def verdict(reached: bool) -> str:
    """Return the text for a goal that was reached or not."""
    return "reached" if reached else "**not reached**"


def median_of(count: int) -> str:
    """Return the heading of figures from a number of rounds."""
    return rounds_text(count) if count == 1 else f"median of {rounds_text(count)}"


def _lost(measurements: Sequence[Measurement] | None) -> str:
    return str(sum(one.result.lost for one in measurements)) if measurements else "–"


def table(result: Result, shown: Sequence[Server]) -> Iterator[str]:
    """Yield the lines of a scenario's Markdown table."""
    shown = [server for server in shown if server.name in result.measured or server.name in result.failed]
    yield (
        f"| {median_of(max(map(len, result.measured.values()), default=0))} | "
        + " | ".join(server.title for server in shown)
        + " | ÷ Node | ÷ better Python peer |"
    )
    yield "|---|" + "---:|" * (len(shown) + 2)
    yield f"| streams lost | {' | '.join(_lost(result.measured.get(server.name)) for server in shown)} | | |"
    for metric, medians, ratio, node_ratio in result.comparisons():
        values = " | ".join(metric.show(medians.get(server.name)) for server in shown)
        ratios = " | ".join("" if each is None else f"{each:.2f}" for each in (node_ratio, ratio))
        yield f"| {metric.name} | {values} | {ratios} |"


def summary(results: Sequence[Result]) -> list[str]:
    """Return two sentences: where no peer is ahead of persona_stream, and where one is."""
    ahead: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    titles = {server.name: server.title for server in servers.ALL}
    for result in [each for each in results if each.verdicts()] or results:
        for metric, medians, _, _ in result.comparisons():
            peers = [name for name in PEERS if name in medians]
            if metric.name not in HEADLINES or "ours" not in medians or not peers:
                continue
            best = min(peers, key=medians.__getitem__)
            is_ahead = medians["ours"] <= medians[best]
            text = (
                f"{result.scenario.name}: {metric.show(medians['ours'])}, {titles[best]} {metric.show(medians[best])}"
            )
            (ahead if is_ahead else behind).setdefault(metric.name, []).append(text)
    return [
        f"No peer is ahead of persona_stream in {_enumeration(ahead)}.",
        f"The best peer is ahead of it in {_enumeration(behind)}.",
    ]


def _enumeration(found: dict[str, list[str]]) -> str:
    if not found:
        return f"none of the measured figures among {', '.join(HEADLINES)}"
    return ", ".join(f"**{name}** ({'; '.join(texts)})" for name, texts in found.items())


def goals(results: Sequence[Result], more: Sequence[Section]) -> Iterator[str]:
    """Yield the Markdown list of the goals and whether they were reached."""
    for part in (*results, *more):
        for reached, text in part.verdicts():
            yield f"- {verdict(reached)}: {text}"


def document(
    results: Sequence[Result],
    more: Sequence[Section],
    parts: Sequence[MicroBenchmark],
    shown: Sequence[Server],
    command: str,
    seconds: float,
) -> str:
    """Return the complete report; the command took a number of seconds."""
    now = datetime.datetime.now(datetime.UTC)
    text = [
        "# Benchmarks",
        "",
        *summary(results),
        "",
        "## Goals",
        "",
        *goals(results, more),
        "",
        "## Method",
        "",
        f"Generated by `{command}` on {now:%Y-%m-%d %H:%M} UTC in {seconds / 60:.0f} minutes. All figures are from "
        "that run.",
        "",
        f"Machine: {procfs.machine()}.",
        "",
        *(f"- {title}: {names}" for title, names in servers.versions()),
        "",
        *_ABOUT,
    ]
    for result in results:
        text += ["", f"## {result.scenario.name[0].upper()}{result.scenario.name[1:]}"]
        text += ["", f"{result.scenario.load} {_ANSWER}", "", *table(result, shown)]
        if caveats := [f"- {caveat}" for caveat in result.caveats()]:
            text += ["", *caveats]
    for section in more:
        text += section.lines()
    if parts:
        text += ["", "## Microbenchmarks", "", "| one core, best of several repetitions | time |", "|---|---:|"]
        text += [f"| {each.name} | {each.microseconds:,.2f} µs |" for each in parts]
    return "\n".join([*text, ""])


_ANSWER = (
    f"Progress is sent every {INTERVAL:g} s, then an answer of {len(ANSWER)} characters in {CHUNK_COUNT} chunks with "
    f"{PAUSE:g} s between them."
)

_ABOUT = (
    "Each server runs as one process on a core of its own; the client runs on another core. The rounds alternate "
    "between the servers, in forward and reverse order, with a new process each time. Every server verifies the "
    "token (HS256, cached after verification) and validates the body. Every stream is checked from its first to "
    "its final event: a stream with a missing or repeated character or event counts as lost.",
    "",
    "The Python peers run on uvicorn with uvloop and httptools, the Node.js peer on its `http` module, and the Go "
    "peer on `net/http` with `GOMAXPROCS` 1. They do less: their backend is an `await` or a timer of their own, and "
    "their runs cannot be resumed, cancelled or queried. persona_stream calls a blocking function. It is also measured "
    "under gunicorn's gevent worker, where it has no fast lane; that column is not part of the ratios.",
    "",
    "First event: time from the start of the connection attempt. Jitter: how much earlier or later than scheduled"
    " a progress event arrives, where the first event and the interval define the schedule; an event that is late"
    " by more than an interval is excluded and counted as skipped. Memory: resident memory per waiting stream at "
    "the moment when all streams should be waiting, less that of the idle server. The ratios are those of "
    "persona_stream to Node.js, and to the better Python peer of each row.",
)
