"""What a load was worth: every stream is checked from its first event to its last, then counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

import msgspec

from bench.transcript import Arrival, StreamError, Transcript
from bench.workload import ANSWER, INTERVAL, PAUSE, PIECES, Scenario

SLACK = 0.01
"""Seconds by which an answer may be early: event loops round to milliseconds."""


class Spread(msgspec.Struct, frozen=True):
    """Tell how something is distributed, in seconds."""

    p50: float
    p99: float
    most: float


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Count one load.

    Attributes:
        waiting: how many had their first event, and not their last, at the moment when all should be waiting.
        lost: streams that did not bring every event of the wire, once, in order, to one ending.
        wrong: why, and how often.
        events: all that came.
        events_per_stream: of those that are whole.
        peak: events in the busiest second.
        sustained: events in a second, from the first query to the last ending.
        wall: seconds from the first query to the last ending.
        first_event: seconds from the beginning of the connect to the first event.
        jitter: how far progress events were from their time; that is the first one's, and 2 s more for each.
        skipped: progress events that were due and did not come, because the server was later than the next one.
        delivery: seconds from the announcement of the answer to the ending; 1.2 by the pace.
        whole: seconds from the beginning of the connect to the ending.
        client_cpu: CPU seconds of the client while the load was on.
    """

    streams: int
    waiting: int
    lost: int
    wrong: dict[str, int]
    events: int
    events_per_stream: float
    peak: int
    sustained: float
    wall: float
    first_event: Spread
    jitter: Spread
    skipped: int
    delivery: Spread
    whole: Spread
    client_cpu: float


def spread(values: Iterable[float]) -> Spread:
    """Find the median, the 99th percentile (nearest rank) and the greatest of some values."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0.0, 0.0, 0.0)
    return Spread(*(ordered[ceil(len(ordered) * share) - 1] for share in (0.5, 0.99, 1.0)))


def _due(scenario: Scenario) -> int:
    """Count the progress events that are due before the answer is."""
    return max(1, int(scenario.seconds / INTERVAL))


def check(events: Sequence[Arrival], asked: float, scenario: Scenario) -> None:
    """Hold one stream against the wire.

    Raises:
        StreamError: it is not what the wire promises.
    """
    statuses = [event.body.get("status") for event in events]
    ticks = statuses.count("processing")
    if statuses != [
        "initializing",
        *["processing"] * ticks,
        "processing_complete",
        *["streaming"] * PIECES,
        "complete",
    ]:
        raise StreamError(f"events out of order, missing or repeated, the last one {statuses[-1:]}")
    # A late one is left out, and a late answer has more of them; one may be due at the moment of the answer.
    # The first may itself have come late, so what the server says it took counts too (rounded to 0.1 s).
    said = float(events[ticks + 1].body.get("total_processing_time", 0.0)) + 0.05
    took = max(said, events[ticks + 1].at - events[1].at)
    if not 1 <= ticks <= max(_due(scenario), int(took / INTERVAL)) + 1:
        raise StreamError(f"{ticks} progress events in {took:.1f} s")
    if not events[0].body.get("run_id"):
        raise StreamError("the opening has no run id")
    pieces = [event.body["data"] for event in events if event.body["status"] == "streaming"]
    if "".join(pieces) != ANSWER:
        raise StreamError("the pieces joined are not the answer")
    endings = [event for event in events if event.body.get("is_complete") is True]
    if endings != [events[-1]]:
        raise StreamError(f"{len(endings)} endings")
    if events[-1].at - asked < scenario.seconds + PAUSE * (PIECES - 1) - SLACK:
        raise StreamError("the answer was there before its time")


def lateness(events: Sequence[Arrival]) -> list[float]:
    """Give how far each progress event but the first was from its time. A server that is late skips some, so which
    one this is, is told by its elapsed time."""
    first, *others = (event for event in events if event.body["status"] == "processing")
    return [abs(event.at - first.at - INTERVAL * int(event.body["elapsed_time"] / INTERVAL + 1e-6)) for event in others]


def _busiest_second(moments: Iterable[float], begun: float) -> int:
    """Count the events of the busiest second, in steps of a tenth."""
    tenths = Counter(int((at - begun) * 10) for at in moments)
    return max((sum(tenths[tenth + step] for step in range(10)) for tenth in tenths), default=0)


def tally(transcripts: Sequence[Transcript], scenario: Scenario, plateau: float | None, client_cpu: float) -> Tally:
    """Check and count all streams of one load."""
    wrong: Counter[str] = Counter()
    moments: list[float] = []
    first: list[float] = []
    jitter: list[float] = []
    delivery: list[float] = []
    whole: list[float] = []
    whole_events = waiting = skipped = 0
    begun = min(transcript.asked for transcript in transcripts)
    for transcript in transcripts:
        events: list[Arrival] = []
        try:
            events.extend(transcript.events())
            check(events, transcript.asked, scenario)
        except StreamError as broken:
            wrong[str(broken)] += 1
        else:
            whole_events += len(events)
            late = lateness(events)
            jitter += late
            skipped += max(0, _due(scenario) - 1 - len(late))
            delivery.append(events[-1].at - events[-PIECES - 2].at)
            whole.append(events[-1].at - transcript.asked)
            first.append(events[0].at - transcript.asked)
        moments += [event.at for event in events]
        waiting += plateau is not None and bool(events) and events[0].at <= plateau < events[-1].at
    wall = max(moments, default=begun) - begun
    return Tally(
        streams=len(transcripts),
        waiting=waiting,
        lost=wrong.total(),
        wrong=dict(wrong.most_common(5)),
        events=len(moments),
        events_per_stream=whole_events / len(whole) if whole else 0.0,
        peak=_busiest_second(moments, begun),
        sustained=len(moments) / wall if wall else 0.0,
        wall=wall,
        first_event=spread(first),
        jitter=spread(jitter),
        skipped=skipped,
        delivery=spread(delivery),
        whole=spread(whole),
        client_cpu=client_cpu,
    )
