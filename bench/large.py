"""Cost of a waiting stream with 20,000 of them in two workers, compared to 4,000 in the same workers."""

from __future__ import annotations

import resource
import shutil
from typing import Final

from bench import procfs
from bench.measurement import Measurement, measure
from bench.metrics import Verdict
from bench.report import Section
from bench.servers import MANY_RUNS
from bench.shared import running_redis, sharing
from bench.workload import waiting

STREAMS: Final = 20_000
BASE_STREAMS: Final = 4000
SECONDS: Final = 45.0
RATE: Final = 500.0
COST_GOAL: Final = 1.0
RESERVED_FILES: Final = 100
"""Files that the client opens beside its connections."""


def _measure(streams: int) -> Measurement:
    with running_redis() as (url, _):
        return measure(sharing(url, *MANY_RUNS), waiting(streams, seconds=SECONDS, rate=RATE))


def _row(name: str, base: float, large: float, unit: str) -> str:
    return f"| {name} | {base:.2f} {unit} | {large:.2f} {unit} | {large / base if base else 0:.2f} |"


def section() -> Section:
    """Run the benchmark once and return its section of the report."""
    if shutil.which("redis-server") is None:
        return Section(
            "Many streams in two workers", "Not measured: redis-server is missing (`apt-get install redis-server`)."
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    streams = STREAMS if files == resource.RLIM_INFINITY else min(STREAMS, files - RESERVED_FILES)
    base = _measure(BASE_STREAMS)
    large = _measure(streams)
    for one in (base, large):
        found = one.result
        print(
            f"  two workers: {found.streams:,} streams, {found.lost} lost, {one.cpu_ms:.3f} ms per stream", flush=True
        )
        for why, count in found.errors.items():
            print(f"    {count} x {why}")
    lost = base.result.lost + large.result.lost
    ratio = large.cpu_ms / base.cpu_ms
    kib = [(one.stream_bytes or 0.0) / 1024 for one in (base, large)]
    first = [1000 * one.result.first_event.p99 for one in (base, large)]
    jitter = [1000 * one.result.jitter.p99 for one in (base, large)]
    return Section(
        "Many streams in two workers",
        f"{BASE_STREAMS:,} and {streams:,} queries, {RATE:g} per second, each answered after {SECONDS:g} s, by two "
        "workers that share Redis. Both workers are on one core; the other one is shared by Redis and the client, "
        f"which can open {files:,} files. One round.",
        "",
        Verdict(lost == 0, f"no streams lost ({lost})"),
        Verdict(
            ratio <= COST_GOAL,
            f"CPU per stream with {streams:,} at most {COST_GOAL:g} × that with {BASE_STREAMS:,}: {ratio:.2f} ×",
        ),
        "",
        f"| one round | {BASE_STREAMS:,} streams | {streams:,} streams | ratio |",
        "|---|---:|---:|---:|",
        f"| concurrent waiting streams | {base.result.waiting:,} | {large.result.waiting:,} | |",
        _row("CPU per stream", base.cpu_ms, large.cpu_ms, "ms"),
        _row("memory per waiting stream", *kib, "KiB"),
        _row("first event p99", *first, "ms"),
        _row("progress jitter p99", *jitter, "ms"),
    )


if __name__ == "__main__":
    procfs.raise_open_files()
    print("\n".join(section().lines()))
