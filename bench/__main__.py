"""Command line of the benchmarks (``python -m bench``): runs the rounds and writes the report of a complete run."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import (
    database,
    execution,
    large,
    overload,
    procfs,
    progress,
    relay,
    report,
    scaling,
    sections,
    sentences,
    servers,
    shared,
    slow,
    websockets,
)
from bench.measurement import measure, turns
from bench.metrics import LARGE_STREAMS, goals_of
from bench.report import Result, Section
from bench.sections import MicroBenchmark, MicroBenchmarkError
from bench.servers import ConfigurationError, Server
from bench.workload import Scenario, burst, waiting


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, bool]:
    """Return the options, and whether the run is complete: its load and its selection are the defaults."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [server.name for server in servers.ALL]
    parser.add_argument("--only", action="append", choices=names, help="measure this server; repeatable")
    parser.add_argument("--streams", type=int, action="append", help="waiting streams; repeatable (1000, 4000)")
    parser.add_argument("--burst", type=int, default=None, help="simultaneous instant queries; 0 for none (2000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds that the backend takes (10)")
    parser.add_argument("--rate", type=float, default=500.0, help="arrivals of waiting streams per second (500)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; one where no goal applies (3)")
    parser.add_argument("--large", action="store_true", help="include 20,000 streams (default in a complete run)")
    parser.add_argument("--slow", action="store_true", help="include slow readers (default in a complete run)")
    parser.add_argument("--quick", action="store_true", help="one round of 200 streams and a burst of 200")
    parser.add_argument("--perf", dest="profiler", action="store_const", const="perf", help="profile C code")
    parser.add_argument("--py-spy", dest="profiler", action="store_const", const="py-spy", help="profile Python code")
    parser.add_argument("--shared", action="store_true", help="include Redis (default in a complete run)")
    parser.add_argument("--stored", action="store_true", help="include the database (default in a complete run)")
    parser.add_argument("--websockets", action="store_true", help="include WebSockets (default in a complete run)")
    parser.add_argument("--relay", action="store_true", help="include a relayed stream (default in a complete run)")
    parser.add_argument("--overload", action="store_true", help="include overload (default in a complete run)")
    parser.add_argument("--execution", action="store_true", help="include the worker (default in a complete run)")
    parser.add_argument("--scaling", action="store_true", help="include Celery workers (default in a complete run)")
    parser.add_argument("--parts", action="store_true", help="include the microbenchmarks (default in a complete run)")
    parser.add_argument("--progress", action="store_true", help="measure the percentage and the remaining time alone")
    parser.add_argument("--sentences", action="store_true", help="compare the chunker with four segmenters alone")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="with --progress: replay the output of `runs list --json`",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the report to a file (default in a complete run)"
    )
    options = parser.parse_args(arguments)
    chosen = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    return options, chosen <= {"rounds", "write"}


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    counts = options.streams
    burst_size = options.burst
    if options.quick:
        counts = counts or [200]
        burst_size = 200 if burst_size is None else burst_size
    elif counts is None and burst_size is None and not _selects_sections(options):
        counts = [1000, 4000]
        burst_size = 2000
    found = [waiting(count, seconds=options.seconds, rate=options.rate) for count in counts or []]
    return [*found, *([burst(burst_size)] if burst_size else [])]


def _selects_sections(options: argparse.Namespace) -> bool:
    names = ("parts", "large", "slow", "shared", "stored", "websockets", "relay", "overload", "execution", "scaling")
    return any(getattr(options, name) for name in names)


def _run(scenario: Scenario, chosen: Sequence[Server], rounds: int, profiler: str | None) -> Result:
    result = Result(scenario, {}, {})
    print(scenario.name, flush=True)
    for server in turns(chosen, rounds):
        if server.name in result.failed:
            continue
        try:
            one = measure(server, scenario, profiler)
        except ConfigurationError as failure:
            result.failed[server.name] = str(failure)
            print(f"  {server.name:14}NOT MEASURED: {failure}", flush=True)
        else:
            result.measured.setdefault(server.name, []).append(one)
            print(report.line(server, one), flush=True)
    return result


def _show(result: Result, chosen: Sequence[Server]) -> None:
    """Print the table of a scenario; a single measurement has been printed as a line."""
    if sum(map(len, result.measured.values())) > 1:
        print(f"\n{result.scenario.name}")
        print("\n".join(report.table(result, chosen)))
    for caveat in result.caveats():
        print(f"- {caveat}")


def _microbenchmarks() -> list[MicroBenchmark]:
    print("\nmicrobenchmarks")
    try:
        timed = sections.measure()
    except MicroBenchmarkError as failure:
        print(f"  NOT MEASURED: {failure}")
        return []
    for each in timed:
        print(f"  {each.microseconds:10.2f} µs  {each.name}")
    return timed


def main() -> int:
    """Run the selected benchmarks; return 1 if a server could not be measured or persona_stream lost a stream."""
    began = time.monotonic()
    options, is_complete = parse_arguments(sys.argv[1:])
    if options.progress:
        progress.run(options.log)
        return 0
    if options.sentences:
        sentences.run()
        return 0
    procfs.raise_open_files()
    chosen = []
    for server in servers.ALL:
        if options.only and server.name not in options.only:
            continue
        if server.is_installed:
            chosen.append(server)
        else:
            package = servers.PACKAGES.get(server.name)
            hint = f" (apt-get install {package}, then make bench)" if package else ""
            print(f"{server.title} is left out: {server.command[0]} does not exist{hint}")
    rounds = 1 if options.quick else options.rounds
    results = []
    for scenario in _scenarios(options):
        # A complete run has no time for several rounds of a scenario without goals.
        times = 1 if is_complete and not goals_of(scenario) else rounds
        results.append(_run(scenario, chosen, times, options.profiler))
    if is_complete or options.large:
        many = waiting(LARGE_STREAMS, seconds=40.0, rate=500.0)
        beside = [server for server in (servers.NODE, servers.GO) if server.is_installed]
        results.append(_run(many, [servers.OURS_LARGE, *beside], 1, options.profiler))
    for result in results:
        _show(result, chosen)

    more: list[Section] = []
    for is_selected, section in (
        (options.large, lambda: large.section()),
        (options.slow, lambda: slow.section(rounds)),
        (options.shared, lambda: shared.section(rounds)),
        (options.stored, lambda: database.section(rounds)),
        (options.websockets, lambda: websockets.section(rounds)),
        (options.relay, lambda: relay.section(rounds)),
        (options.overload, lambda: overload.section(rounds)),
        (options.execution, lambda: execution.section(rounds)),
        (options.scaling, lambda: scaling.section()),
    ):
        if is_complete or is_selected:
            more.append(section())
            print("\n".join(more[-1].lines()), flush=True)
    print()
    print("\n".join(report.goals(results, more)))
    timed = _microbenchmarks() if is_complete or options.parts else []
    if target := options.write or (servers.ROOT / "docs/BENCHMARKS.md" if is_complete else None):
        command = "make bench" if len(sys.argv) == 1 else f"python -m bench {shlex.join(sys.argv[1:])}"
        target.write_text(report.document(results, more, timed, chosen, command, time.monotonic() - began))
        print(f"\nwritten: {target}")
    lost = any(one.result.lost for result in results for one in result.measured.get("ours", []))
    return 1 if lost or any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
