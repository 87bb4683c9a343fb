"""``python -m bench``: run the rounds, print a line for each, write the report of a whole run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import database as stored
from bench import overload, procfs, relay, report, servers, shared
from bench import sections as parts
from bench.measurement import measure, turns
from bench.report import Result
from bench.sections import Part, PartsError
from bench.servers import ConfigurationError, Server
from bench.workload import Scenario, burst, waiting


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [server.name for server in servers.ALL]
    parser.add_argument("--only", action="append", choices=names, help="measure this server; may be given again")
    parser.add_argument("--streams", type=int, action="append", help="waiting streams; may be given again (1000, 4000)")
    parser.add_argument("--burst", type=int, default=None, help="instant queries at once; 0 for none (2000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the backend takes (10)")
    parser.add_argument("--rate", type=float, default=500.0, help="waiting streams that arrive in a second (500)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured (3)")
    parser.add_argument("--quick", action="store_true", help="one round of 200 streams and a burst of 200")
    parser.add_argument("--perf", dest="profiler", action="store_const", const="perf", help="where C code spends it")
    parser.add_argument("--py-spy", dest="profiler", action="store_const", const="py-spy", help="and Python code")
    parser.add_argument("--shared", action="store_true", help="two workers with Redis too (a whole run always does)")
    parser.add_argument("--stored", action="store_true", help="with the store too (a whole run always does)")
    parser.add_argument("--relay", action="store_true", help="a provider's stream too (a whole run always does)")
    parser.add_argument("--overload", action="store_true", help="more than there is room for (a whole run always does)")
    parser.add_argument("--parts", action="store_true", help="time the parts too (a whole run always does)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report (a whole run always does)")
    return parser.parse_args()


def _scenarios(asked: argparse.Namespace) -> list[Scenario]:
    counts, at_once = asked.streams, asked.burst
    if asked.quick:
        counts, at_once = counts or [200], 200 if at_once is None else at_once
    elif counts is None and at_once is None and not _asks_for_more(asked):
        counts, at_once = [1000, 4000], 2000
    found = [waiting(count, seconds=asked.seconds, rate=asked.rate) for count in counts or []]
    return [*found, *([burst(at_once)] if at_once else [])]


def _asks_for_more(asked: argparse.Namespace) -> bool:
    return bool(asked.parts or asked.shared or asked.stored or asked.relay or asked.overload)


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
    """Print a scenario's table; a single measurement has had its line already."""
    if sum(map(len, result.measured.values())) > 1:
        print(f"\n{result.scenario.name}")
        print("\n".join(report.table(result, chosen)))
    for doubt in result.doubts():
        print(f"- {doubt}")


def _parts() -> list[Part]:
    print("\nparts")
    try:
        timed = parts.measure()
    except PartsError as failure:
        print(f"  NOT MEASURED: {failure}")
        return []
    for each in timed:
        print(f"  {each.microseconds:10.2f} µs  {each.name}")
    return timed


def main() -> int:
    """Measure what the command line asks for; 1 when a server could not be measured, or a stream of ours was lost."""
    asked = _arguments()
    procfs.raise_open_files()
    chosen = [server for server in servers.ALL if not asked.only or server.name in asked.only]
    rounds = 1 if asked.quick else asked.rounds
    results = [_run(scenario, chosen, rounds, asked.profiler) for scenario in _scenarios(asked)]
    for result in results:
        _show(result, chosen)
    if len(chosen) == len(servers.ALL):
        print("\n".join(report.aims(results)))

    # What BENCHMARKS.md says of the load is true of the load that is the default.
    whole = len(sys.argv) == 1 or sys.argv[1:] == ["--rounds", str(asked.rounds)]
    more = shared.section(rounds) if whole or asked.shared else []
    more += stored.section(rounds) if whole or asked.stored else []
    more += relay.section(rounds) if whole or asked.relay else []
    more += overload.section(rounds) if whole or asked.overload else []
    print("\n".join(more))
    timed = _parts() if whole or asked.parts else []
    if target := asked.write or (servers.ROOT / "docs/BENCHMARKS.md" if whole else None):
        command = "make bench" if len(sys.argv) == 1 else f"python -m bench {shlex.join(sys.argv[1:])}"
        target.write_text(report.document(results, more, timed, chosen, command))
        print(f"\nwritten: {target}")
    lost = any(one.tally.lost for result in results for one in result.measured.get("ours", []))
    return 1 if lost or any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
