"""What becomes of a crowd that is larger than a server takes: who is let in, who waits, who is refused, and how soon.

Run as ``python -m bench.load PORT SCENARIO`` (JSON); it writes one line of JSON, a ``Crowd``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from bench.client import load
from bench.results import Spread, check, lateness, spread
from bench.transcript import Arrival, StreamError, Transcript
from bench.workload import INTERVAL, Scenario

_BUSY = b"HTTP/1.1 429 "


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Count a crowd.

    Attributes:
        whole: streams that began and brought their whole answer.
        queued: those of them that had to wait for a place.
        refused: requests that were refused.
        lost: all others.
        wrong: why, and how often.
        late: seconds by which progress events of whole streams were off, those that tell of the queue too.
        told: seconds from the connect until who waits was told so.
        turned_away: seconds from the connect until who is refused was told so.
    """

    whole: int
    queued: int
    refused: int
    lost: int
    wrong: dict[str, int]
    late: Spread
    told: Spread
    turned_away: Spread


def _waits(events: Sequence[Arrival]) -> list[float]:
    """Give how far apart what tells of the queue came, beyond an interval: news of one's place may come sooner."""
    told = [event.at for event in events if event.body.get("status") == "queued"]
    return [max(0.0, later - earlier - INTERVAL) for earlier, later in pairwise(told)]


def count(transcripts: Iterable[Transcript], scenario: Scenario) -> Crowd:
    """Look at each stream, from its first event to its last."""
    wrong: Counter[str] = Counter()
    late: list[float] = []
    told: list[float] = []
    turned_away: list[float] = []
    whole = 0
    for transcript in transcripts:
        if transcript.reads and transcript.reads[0][1].startswith(_BUSY):
            turned_away.append(transcript.reads[0][0] - transcript.asked)
            continue
        try:
            events = list(transcript.events())
            queued = [event for event in events if event.body.get("status") == "queued"]
            running = [event for event in events if event.body.get("status") != "queued"]
            check(running, transcript.asked, scenario)
        except StreamError as broken:
            wrong[str(broken)] += 1
            continue
        whole += 1
        if queued:
            told.append(queued[0].at - transcript.asked)
        late += [*lateness(running), *_waits(events)]
    return Crowd(
        whole=whole,
        queued=len(told),
        refused=len(turned_away),
        lost=wrong.total(),
        wrong=dict(wrong.most_common(5)),
        late=spread(late),
        told=spread(told),
        turned_away=spread(turned_away),
    )


def main() -> None:
    """Read the command line, come, and write what became of it."""
    port, scenario = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Scenario)
    streams, _, _ = load(port, scenario)
    found = count([Transcript(stream.asked, stream.reads, stream.why) for stream in streams], scenario)
    print(msgspec.json.encode(found).decode(), flush=True)


if __name__ == "__main__":
    main()
