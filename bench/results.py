"""Evaluation of a load: each stream is checked from its first to its final event, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

import msgspec

from bench.transcript import Arrival, StreamError, Transcript
from bench.workload import ANSWER, CHUNK_COUNT, INTERVAL, PAUSE, Scenario

EARLY_TOLERANCE = 0.01
"""Seconds by which an answer may be early, because event loops round to milliseconds."""


class Distribution(msgspec.Struct, frozen=True):
    """Median, 99th percentile and maximum, in seconds."""

    p50: float
    p99: float
    max: float


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one load.

    Attributes:
        waiting: the streams between their first and final event at the moment when all should be waiting.
        lost: the streams without every event exactly once, in order, up to one final event.
        errors: the reasons and their numbers.
        events: all events received.
        events_per_stream: the mean of the complete streams.
        peak: the events in the busiest second.
        sustained: the events per second, from the first query to the last final event.
        wall: the seconds from the first query to the last final event.
        first_event: the seconds from the start of the connect to the first event.
        jitter: the deviation of progress events from their time, which the first one and the interval define.
        skipped: the progress events that the server left out because it was late by more than an interval.
        delivery: the seconds from the announcement of the answer to the final event; 1.2 by the pace.
        whole: the seconds from the start of the connect to the final event.
        client_cpu: the CPU seconds of the client during the load.
    """

    streams: int
    waiting: int
    lost: int
    errors: dict[str, int]
    events: int
    events_per_stream: float
    peak: int
    sustained: float
    wall: float
    first_event: Distribution
    jitter: Distribution
    skipped: int
    delivery: Distribution
    whole: Distribution
    client_cpu: float


def distribution(values: Iterable[float]) -> Distribution:
    """Return the distribution of values, by nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Distribution(0.0, 0.0, 0.0)
    return Distribution(*(ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.99, 1.0)))


def _due(scenario: Scenario) -> int:
    """Return the number of progress events that are due before the answer."""
    return max(1, int(scenario.seconds / INTERVAL))


def check(events: Sequence[Arrival], asked: float, scenario: Scenario) -> None:
    """Check the events of one stream.

    Raises:
        StreamError: the events violate the wire format.
    """
    statuses = [event.body.get("status") for event in events]
    ticks = statuses.count("processing")
    if statuses != [
        "initializing",
        *["processing"] * ticks,
        "processing_complete",
        *["streaming"] * CHUNK_COUNT,
        "complete",
    ]:
        raise StreamError(f"events out of order, missing or repeated, the last one {statuses[-1:]}")
    # Late events are left out, a late answer has more of them, and one may be due at the time of the answer. The first
    # may be late itself, so the duration reported by the server counts too (rounded to 0.1 s).
    reported = float(events[ticks + 1].body.get("total_processing_time", 0.0)) + 0.05
    took = max(reported, events[ticks + 1].at - events[1].at)
    if not 1 <= ticks <= max(_due(scenario), int(took / INTERVAL)) + 1:
        raise StreamError(f"{ticks} progress events in {took:.1f} s")
    if not events[0].body.get("run_id"):
        raise StreamError("the first event has no run id")
    chunks = [event.body["data"] for event in events if event.body["status"] == "streaming"]
    if "".join(chunks) != ANSWER:
        raise StreamError("the chunks do not join to the answer")
    endings = [event for event in events if event.body.get("is_complete") is True]
    if endings != [events[-1]]:
        raise StreamError(f"{len(endings)} final events")
    if events[-1].at - asked < scenario.seconds + PAUSE * (CHUNK_COUNT - 1) - EARLY_TOLERANCE:
        raise StreamError("the answer arrived too early")


def lateness(events: Sequence[Arrival]) -> list[float]:
    """Return the deviation of each progress event except the first from its time.

    A late server skips events, so the elapsed time in the event identifies its tick.
    """
    first, *others = (event for event in events if event.body["status"] == "processing")
    return [abs(event.at - first.at - INTERVAL * int(event.body["elapsed_time"] / INTERVAL + 1e-6)) for event in others]


def _busiest_second(moments: Iterable[float], begun: float) -> int:
    """Return the number of events in the busiest second, in steps of 0.1 s."""
    tenths = Counter(int((at - begun) * 10) for at in moments)
    return max((sum(tenths[tenth + step] for step in range(10)) for tenth in tenths), default=0)


def evaluate(
    transcripts: Sequence[Transcript], scenario: Scenario, plateau: float | None, client_cpu: float
) -> LoadResult:
    """Evaluate all streams of one load."""
    errors: Counter[str] = Counter()
    moments: list[float] = []
    first: list[float] = []
    jitter: list[float] = []
    delivery: list[float] = []
    whole: list[float] = []
    whole_events = 0
    waiting = 0
    skipped = 0
    begun = min(transcript.asked for transcript in transcripts)
    for transcript in transcripts:
        events: list[Arrival] = []
        try:
            events.extend(transcript.events())
            check(events, transcript.asked, scenario)
        except StreamError as broken:
            errors[str(broken)] += 1
        else:
            whole_events += len(events)
            late = lateness(events)
            jitter += late
            skipped += max(0, _due(scenario) - 1 - len(late))
            delivery.append(events[-1].at - events[-CHUNK_COUNT - 2].at)
            whole.append(events[-1].at - transcript.asked)
            first.append(events[0].at - transcript.asked)
        moments += [event.at for event in events]
        waiting += plateau is not None and bool(events) and events[0].at <= plateau < events[-1].at
    wall = max(moments, default=begun) - begun
    return LoadResult(
        streams=len(transcripts),
        waiting=waiting,
        lost=errors.total(),
        errors=dict(errors.most_common(5)),
        events=len(moments),
        events_per_stream=whole_events / len(whole) if whole else 0.0,
        peak=_busiest_second(moments, begun),
        sustained=len(moments) / wall if wall else 0.0,
        wall=wall,
        first_event=distribution(first),
        jitter=distribution(jitter),
        skipped=skipped,
        delivery=distribution(delivery),
        whole=distribution(whole),
        client_cpu=client_cpu,
    )
