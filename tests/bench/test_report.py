"""Tests of the report: its summary, its goals and its tables are computed from the measurements."""

from __future__ import annotations

import msgspec

from bench.measurement import Measurement
from bench.metrics import Verdict
from bench.report import Result, Section, document, goals, summary, table
from bench.results import Distribution
from bench.servers import ALL
from bench.workload import burst, waiting
from tests.bench.test_metrics import ONE, RESULT


def _one(cpu: float, kib: float) -> Measurement:
    return msgspec.structs.replace(ONE, cpu=cpu, waiting_bytes=int(4000 * 1024 * kib))


def _burst(cpu: float, p99: float, latest: float) -> Measurement:
    result = msgspec.structs.replace(RESULT, first_event=Distribution(0.1, p99, latest))
    return msgspec.structs.replace(ONE, result=result, cpu=cpu, waiting_bytes=None)


WAITING = Result(waiting(4000), {"ours": [_one(8, 10)], "node": [_one(8, 20)], "go": [_one(4, 30)]}, {})
BURST = Result(burst(2000), {"ours": [_burst(4, 0.9, 1.7)], "node": [_burst(4, 1.0, 2.0)]}, {})
SECTION = Section("With Redis", "Text.", "", Verdict(reached=False, text="CPU at most 1.3 ×: 1.40 ×"))


def test_two_sentences_say_who_is_ahead_where() -> None:
    """Each figure is compared with the best peer; a peer with the same figure is not ahead."""
    assert summary([WAITING, BURST]) == [
        "No peer is ahead of persona_stream in **memory per waiting stream** (4,000 waiting streams: 10.0 KiB, Node.js "
        "http 20.0 KiB), **first event p99** (4,000 waiting streams: 2.00 ms, Node.js http 2.00 ms; burst of 2,000 "
        "instant queries: 900.00 ms, Node.js http 1,000.00 ms), **progress jitter p99** (4,000 waiting streams: 2.00 "
        "ms, Node.js http 2.00 ms), **CPU per stream** (burst of 2,000 instant queries: 1.000 ms, Node.js http "
        "1.000 ms).",
        "The best peer is ahead of it in **CPU per stream** (4,000 waiting streams: 2.000 ms, Go net/http 1.000 ms).",
    ]


def test_both_sentences_remain_without_a_peer() -> None:
    """They name the figures."""
    alone = Result(waiting(4000), {"ours": [ONE]}, {})
    none = "none of the measured figures among CPU per stream, memory per waiting stream, first event p99, "
    assert [sentence.partition(" in ")[2] for sentence in summary([alone])] == [f"{none}progress jitter p99."] * 2


def test_the_goals_of_all_sections_stand_at_the_top() -> None:
    """A line says whether a goal was reached, and the figure."""
    lines = list(goals([BURST], [SECTION]))
    assert lines == [
        "- reached: burst of 2,000 instant queries: none lost: 0 of 4,000 in one round",
        "- reached: burst of 2,000 instant queries: CPU per stream at most 1.5 × Node's: 1.000 × "
        "(1.000 ms, Node 1.000 ms)",
        "- **not reached**: burst of 2,000 instant queries: latest first event at most 1.5 × Node's first event p99: "
        "1.700 × (1,700 ms in the worst round, Node 1,000 ms)",
        "- **not reached**: With Redis: CPU at most 1.3 ×: 1.40 ×",
    ]
    text = document([WAITING, BURST], [SECTION], [], ALL, "make bench")
    assert (
        text.index("## Goals") < text.index("With Redis: CPU") < text.index("## Method") < text.index("## With Redis")
    )
    assert text.endswith("## With Redis\n\nText.\n\n- **not reached**: CPU at most 1.3 ×: 1.40 ×\n")


def test_a_table_has_the_servers_that_took_part() -> None:
    """A failed one is shown, too."""
    heading = next(table(Result(waiting(4000), {"ours": [ONE]}, {"node": "did not start"}), ALL))
    assert heading == "| one round | persona_stream | Node.js http | ÷ Node | ÷ better Python peer |"
