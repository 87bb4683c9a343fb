"""Accuracy of the percentage and of the remaining time, replayed on synthetic loads or on a request log."""

from __future__ import annotations

import json
import math
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from bench import procfs, servers
from bench.processor_time import microseconds
from bench.report import write_section
from persona_stream.core.facts import ProgressReported, Started
from persona_stream.core.forecast import DurationHistory, FinishedRun, Forecast, RunFeatures, fit_forecast
from persona_stream.core.snapshot import MAX_WAITING_PERCENT, ProgressTracker
from persona_stream.runs.forecasts import replay

DEADLINE = 150.0  # seconds
TEST_RUNS = 400
ORACLE_RUNS = 4000
SEEDS = range(8)
MOMENTS = 40  # of each run, evenly spread
HISTORY_SIZES = (5, 20, 50, 200)
RUNS_AFTER_SLOWDOWN = (0, 10, 30, 60)
SLOWDOWN = 3.0
INTERVAL = 2.0  # seconds between two ticks
STEPS = 8
STEP_SPREAD = 0.3
TARGET = servers.ROOT / "docs/PROGRESS.md"

Load = Callable[[random.Random], FinishedRun]
Estimate = Callable[[RunFeatures], Forecast | None]


def _run(source: random.Random, duration: float, tokens: int = 30, persona: str = "a") -> FinishedRun:
    features = RunFeatures(tokens, persona=persona, at=source.uniform(0.0, 86_400.0))
    return FinishedRun(min(DEADLINE, max(0.5, duration)), "complete" if duration < DEADLINE else "timeout", features)


def _short(source: random.Random) -> FinishedRun:
    return _run(source, source.lognormvariate(math.log(12.0), 0.5))


def _long(source: random.Random) -> FinishedRun:
    return _run(source, source.lognormvariate(math.log(40.0), 0.7))


def _two_peaks(source: random.Random) -> FinishedRun:
    return _run(source, source.lognormvariate(math.log(source.choice((4.0, 60.0))), 0.3))


def _by_length(source: random.Random) -> FinishedRun:
    tokens = int(source.lognormvariate(math.log(200.0), 1.0))
    return _run(source, 0.35 * tokens**0.8 * source.lognormvariate(0.0, 0.3), tokens)


def _by_persona(source: random.Random) -> FinishedRun:
    tokens = int(source.lognormvariate(math.log(200.0), 0.8))
    persona, factor = source.choice((("a", 0.5), ("b", 1.0), ("c", 1.5), ("d", 2.2)))
    return _run(source, 0.5 * factor * tokens**0.7 * source.lognormvariate(0.0, 0.3), tokens, persona)


LOADS: dict[str, Load] = {
    "A: about 12 s (lognormal, σ 0.5)": _short,
    "B: about 40 s (lognormal, σ 0.7)": _long,
    "C: about 4 s or about 60 s": _two_peaks,
    "D: the length of the question counts": _by_length,
    "E: length and persona count": _by_persona,
}


@dataclass(frozen=True)
class Accuracy:
    """Accuracy over all moments of the test runs; shares in percent."""

    error: float  # mean |percent - true percent|, in points
    stuck: float  # share of the time at the highest percentage
    coverage: float  # share of the moments at which the 80 % range has the true remaining time
    has_eta: float  # share of the moments with a remaining time


@dataclass(frozen=True)
class ReportAccuracy:
    """Accuracy of runs with reports; shares in percent."""

    error: float  # mean |percent - true percent| over time, in points
    raw_error: float  # the same of the latest report alone
    eta_error: float  # median |ETA - remaining time| ÷ remaining time
    has_eta: float
    stuck: float


A = TypeVar("A", Accuracy, ReportAccuracy)


def _measure(estimate: Estimate, runs: Iterable[FinishedRun]) -> Accuracy:
    errors = []
    stuck = covered = known = 0
    for run in runs:
        forecast = estimate(run.features)
        tracker = ProgressTracker(DEADLINE)
        tracker.start(Started(forecast=forecast))
        for moment in range(MOMENTS):
            share = (moment + 0.5) / MOMENTS
            elapsed = share * run.duration
            percent = tracker.percent(elapsed)
            errors.append(abs(percent - 100 * share))
            stuck += percent >= MAX_WAITING_PERCENT
            if forecast is not None and (left := forecast.remaining(elapsed)) is not None:
                known += 1
                covered += left.low <= run.duration - elapsed <= left.high
    count = len(errors)
    return Accuracy(sum(errors) / count, 100 * stuck / count, 100 * covered / max(known, 1), 100 * known / count)


def _summarize(measured: Sequence[A], function: Callable[[Iterable[float]], float] = statistics.fmean) -> A:
    """Return the mean of each figure, or another function of its values."""
    kind = type(measured[0])
    return kind(*(function(getattr(one, field.name) for one in measured) for field in fields(kind)))


def _history(runs: Iterable[FinishedRun]) -> DurationHistory:
    history = DurationHistory(DEADLINE)
    for run in runs:
        history.add(run)
    return history


def _estimate(history: DurationHistory) -> Estimate:
    model = history.fit()
    return (lambda _: None) if model is None else model.forecast


def _oracle(runs: Sequence[FinishedRun]) -> Estimate:
    """Return the best curve of elapsed time alone, fitted to many runs of the load."""
    curve = fit_forecast([(run.duration, 1.0, False) for run in runs], len(runs))
    return lambda _: curve


def _by_mean(runs: Sequence[FinishedRun]) -> Estimate:
    """Return the bar that divides by the mean duration."""
    mean = statistics.fmean(run.duration for run in runs)
    bar = Forecast((0.95 * mean, 0.951 * mean), (950, 950), (999, 1000))
    return lambda _: bar


def _loads() -> Iterator[str]:
    yield (
        "| load | best curve¹ | linear to the deadline | mean of 50 (stuck) | "
        + " | ".join(f"{size} runs" for size in HISTORY_SIZES)
        + " | ratio² after 50 | stuck | 80 % range | ETA after 5 |"
    )
    yield "|---|" + "---|" * (7 + len(HISTORY_SIZES))
    for name, load in LOADS.items():
        source = random.Random(1)
        test = [load(source) for _ in range(TEST_RUNS)]
        oracle = _measure(_oracle([load(source) for _ in range(ORACLE_RUNS)]), test)
        linear = _measure(lambda _: None, test)
        by_size: dict[int, Accuracy] = {}
        for size in HISTORY_SIZES:
            seeds = (random.Random(100 + seed) for seed in SEEDS)
            by_size[size] = _summarize(
                [_measure(_estimate(_history(load(each) for _ in range(size))), test) for each in seeds]
            )
        source = random.Random(100)
        mean = _measure(_by_mean([load(source) for _ in range(50)]), test)
        after = by_size[50]
        yield (
            f"| {name} | {oracle.error:.1f} | {linear.error:.1f} | {mean.error:.1f} ({mean.stuck:.0f} %) | "
            + " | ".join(f"{by_size[size].error:.1f}" for size in HISTORY_SIZES)
            + f" | **{after.error / oracle.error:.2f}** | {after.stuck:.1f} % | {after.coverage:.0f} %"
            + f" | {by_size[5].has_eta:.0f} % |"
        )


def _slowdown() -> Iterator[str]:
    yield "| runs after the slow-down | " + " | ".join(map(str, RUNS_AFTER_SLOWDOWN)) + " |"
    yield "|---|" + "---|" * len(RUNS_AFTER_SLOWDOWN)

    def slow(source: random.Random) -> FinishedRun:
        return _run(source, SLOWDOWN * _short(source).duration)

    source = random.Random(1)
    test = [slow(source) for _ in range(TEST_RUNS)]
    oracle = _measure(_oracle([slow(source) for _ in range(ORACLE_RUNS)]), test)
    ratios = []
    for count in RUNS_AFTER_SLOWDOWN:
        measured = []
        for seed in SEEDS:
            source = random.Random(100 + seed)
            history = _history([*(_short(source) for _ in range(100)), *(slow(source) for _ in range(count))])
            measured.append(_measure(_estimate(history), test))
        ratios.append(_summarize(measured).error / oracle.error)
    yield "| error ÷ that of the best curve | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |"


def _measure_reports(runs: Sequence[Sequence[float]], forecast: Forecast | None) -> ReportAccuracy:
    """Measure runs of uneven steps at five moments of each step."""
    moments = 5
    errors = []
    raw_errors = []
    eta_errors = []
    stuck = 0
    for steps in runs:
        duration = sum(steps)
        tracker = ProgressTracker(DEADLINE)
        tracker.start(Started(forecast=forecast))
        begun = 0.0
        for number, step in enumerate(steps):
            fraction = number / STEPS
            tracker.report(ProgressReported("", fraction), begun)
            for moment in range(moments):
                elapsed = begun + step * (moment + 0.5) / moments
                true = 100 * elapsed / duration
                percent, eta = tracker.estimate(elapsed)
                errors.append(abs(percent - true) * step / duration)
                raw_errors.append(abs(max(5.0, 100 * fraction) - true) * step / duration)
                stuck += percent >= MAX_WAITING_PERCENT
                if eta is not None:
                    eta_errors.append(abs(eta - (duration - elapsed)) / (duration - elapsed))
            begun += step
    count = len(errors)
    return ReportAccuracy(
        error=STEPS * sum(errors) / count,
        raw_error=STEPS * sum(raw_errors) / count,
        eta_error=100 * statistics.median(eta_errors),
        has_eta=100 * len(eta_errors) / count,
        stuck=100 * stuck / count,
    )


def _reports() -> Iterator[str]:
    yield "| reports | error (worst history) | as reported³ | ETA off by (worst) | ETA known | at 95 % (true: 5 %) |"
    yield "|---|---|---|---|---|---|"
    by_size: dict[int, list[ReportAccuracy]] = {0: [], 5: [], 50: []}
    for seed in SEEDS:
        source = random.Random(100 + seed)
        runs = [
            [source.lognormvariate(math.log(4.0), STEP_SPREAD) for _ in range(STEPS)] for _ in range(50 + TEST_RUNS)
        ]
        for size, measured in by_size.items():
            forecast = _estimate(_history(FinishedRun(sum(run)) for run in runs[:size]))(RunFeatures())
            measured.append(_measure_reports(runs[50:], forecast))
    for size, measured in by_size.items():
        mean = _summarize(measured)
        worst = _summarize(measured, max)
        name = f"after {size} runs" if size else "without earlier runs"
        yield (
            f"| {name} | {mean.error:.1f} ({worst.error:.1f}) | {mean.raw_error:.1f}"
            f" | {mean.eta_error:.1f} % ({worst.eta_error:.1f} %) | {mean.has_eta:.0f} % | {mean.stuck:.1f} % |"
        )


def _costs() -> Iterator[str]:
    yield "| step | µs of processor time |"
    yield "|---|---|"
    source = random.Random(1)
    history = _history(_by_persona(source) for _ in range(200))
    runs = [_by_persona(source) for _ in range(100)]
    begun = time.process_time()
    for run in runs:
        history.add(run)
    yield f"| record a run that ended | {(time.process_time() - begun) / len(runs) * 1e6:.0f} |"
    steps: dict[int, float] = {}
    for _ in range(20):
        history.add(runs[0])
        begun = time.process_time()
        for number, _ in enumerate(history.fit_in_steps()):
            now = time.process_time()
            steps[number] = min(steps.get(number, math.inf), now - begun)
            begun = time.process_time()
    yield f"| fit 200 runs, in {len(steps)} steps | {sum(steps.values()) * 1e6:.0f} |"
    yield f"| the longest of these steps | {max(steps.values()) * 1e6:.0f} |"
    model = history.fit()
    assert model is not None
    yield f"| forecast at the start of a run | {microseconds(lambda: model.forecast(runs[0].features)):.0f} |"
    forecast = model.forecast(runs[0].features)
    linear = ProgressTracker(DEADLINE)
    tracker = ProgressTracker(DEADLINE)
    tracker.start(Started(forecast=forecast))
    ticks = [INTERVAL * (number + 1) for number in range(20)]

    def tick(each: ProgressTracker) -> Callable[[], object]:
        return lambda: [each.is_late(elapsed, each.estimate(elapsed)[1]) for elapsed in ticks]

    more = (microseconds(tick(tracker)) - microseconds(tick(linear))) / len(ticks)
    yield f"| percentage and ETA of a tick, more than without a forecast | {more:.2f} |"


def _tables() -> str:
    """Return the tables of docs/PROGRESS.md."""
    parts = [
        "### Without reports\n",
        *_loads(),
        "",
        f"Mean |percent − true percent| in points, of {TEST_RUNS} runs at {MOMENTS} moments each, with a deadline of"
        f" {DEADLINE:.0f} s; the mean of {len(SEEDS)} histories.",
        "",
        f"¹ The monotone curve of the elapsed time alone, fitted to {ORACLE_RUNS:,} runs: what a perfect history can"
        " reach, unless length or persona explain durations. ² Error after 50 runs ÷ that of the best curve.",
        "",
        f"### After the backend becomes {SLOWDOWN:.0f} times slower (load A)\n",
        *_slowdown(),
        "",
        f"### With reports of (n − 1)/{STEPS} before each of {STEPS} uneven steps (σ {STEP_SPREAD})\n",
        *_reports(),
        "",
        "³ The error of a bar that shows the latest report alone.",
        "",
        "### Cost\n",
        *_costs(),
        "",
        f"Machine: {procfs.machine()}; CPython {platform.python_version()}.",
    ]
    return "\n".join(parts)


def _replay(log: Path) -> Iterator[str]:
    """Replay the runs that ``persona-stream runs list --json`` printed, in their order, for each backend."""
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.strip()]
    by_backend: dict[str, list[FinishedRun]] = {}
    outcomes = {"complete": "complete", "timeout": "timeout", "cancelled": "cancelled"}
    for row in sorted(rows, key=lambda row: row["accepted_at"]):
        if row["status"] in outcomes and (seconds := row.get("processing") or row.get("total")):
            features = RunFeatures(row.get("input_tokens") or 0, persona=row["username"], at=row["accepted_at"])
            run = FinishedRun(seconds, outcomes[row["status"]], features)  # type: ignore[arg-type]
            by_backend.setdefault(row["backend"], []).append(run)
    yield "| backend | runs | best curve | error | stuck | 80 % range |"
    yield "|---|---|---|---|---|---|"
    for backend, runs in by_backend.items():
        if (accuracy := replay(runs, DEADLINE)) is not None:
            coverage = "–" if accuracy.coverage is None else f"{accuracy.coverage:.0%}"
            errors = f"{accuracy.best_error:.1f} | {accuracy.error:.1f}"
            yield f"| {backend} | {accuracy.runs} | {errors} | {accuracy.stuck:.1%} | {coverage} |"


def run(log: Path | None) -> None:
    """Print the tables, and write those of the synthetic loads to docs/PROGRESS.md."""
    if log is not None:
        print("\n".join(_replay(log)))
        return
    tables = _tables()
    print(tables)
    write_section(TARGET, "make bench ARGS=--progress", tables)
    print(f"\nwritten: {TARGET}")
