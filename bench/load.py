"""Client of the overload benchmark: counts the streams that are admitted, queued and rejected, and their latencies.

Run as ``python -m bench.load PORT SCENARIO`` (JSON); it prints an ``OverloadResult`` as one line of JSON.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from bench.client import load
from bench.results import Distribution, check, distribution, lateness
from bench.transcript import Arrival, StreamError, Transcript
from bench.workload import INTERVAL, Scenario

_REJECTED = b"HTTP/1.1 429 "


class OverloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an overload.

    Attributes:
        whole: the complete streams.
        queued: the complete streams that waited for a slot.
        refused: the rejected requests.
        lost: all others.
        errors: the reasons and their numbers.
        late: the deviation of progress and queue events of complete streams from their time, in seconds.
        first_position: the seconds from the connect to the first queue event.
        turned_away: the seconds from the connect to the rejection.
    """

    whole: int
    queued: int
    refused: int
    lost: int
    errors: dict[str, int]
    late: Distribution
    first_position: Distribution
    turned_away: Distribution


def _waits(events: Sequence[Arrival]) -> list[float]:
    """Return by how much queue events exceeded the interval; a change of position may be sent earlier."""
    times = [event.at for event in events if event.body.get("status") == "queued"]
    return [max(0.0, later - earlier - INTERVAL) for earlier, later in pairwise(times)]


def count(transcripts: Iterable[Transcript], scenario: Scenario) -> OverloadResult:
    """Evaluate all streams."""
    errors: Counter[str] = Counter()
    late: list[float] = []
    position_delays: list[float] = []
    turned_away: list[float] = []
    whole = 0
    for transcript in transcripts:
        if transcript.reads and transcript.reads[0][1].startswith(_REJECTED):
            turned_away.append(transcript.reads[0][0] - transcript.asked)
            continue
        try:
            events = list(transcript.events())
            queued = [event for event in events if event.body.get("status") == "queued"]
            running = [event for event in events if event.body.get("status") != "queued"]
            check(running, transcript.asked, scenario)
        except StreamError as broken:
            errors[str(broken)] += 1
            continue
        whole += 1
        if queued:
            position_delays.append(queued[0].at - transcript.asked)
        late += [*lateness(running), *_waits(events)]
    return OverloadResult(
        whole=whole,
        queued=len(position_delays),
        refused=len(turned_away),
        lost=errors.total(),
        errors=dict(errors.most_common(5)),
        late=distribution(late),
        first_position=distribution(position_delays),
        turned_away=distribution(turned_away),
    )


def main() -> None:
    """Run the scenario of the command line and print its result."""
    port = int(sys.argv[1])
    scenario = msgspec.json.decode(sys.argv[2], type=Scenario)
    streams, _, _ = load(port, scenario)
    found = count([Transcript(stream.asked, stream.reads, stream.why) for stream in streams], scenario)
    print(msgspec.json.encode(found).decode(), flush=True)


if __name__ == "__main__":
    main()
