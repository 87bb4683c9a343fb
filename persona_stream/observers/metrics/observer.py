"""Count what happens to runs and around them. The series of a run are looked up once, when it begins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from persona_stream.core.facts import Answered, Entry, Failed, Started, terms
from persona_stream.core.query import Upstream
from persona_stream.core.snapshot import status_after
from persona_stream.core.usage import usage_of
from persona_stream.notes import Abandoned, Asked, Began, Note, Reading, Released
from persona_stream.observers.metrics.instruments import Instruments

ENDPOINTS = frozenset(
    {
        "/api/stream_chat",
        "/api/stream_chat_advanced",
        "/api/stream_chat_smart",
        "/api/chat",
        "/v1/chat/completions",
        "/v1/messages",
    }
)
"""The addresses that begin runs: any other is counted as ``other``."""

_TRUTH = {False: "false", True: "true"}


class _Lane:
    """Hold the series of all runs that came in at one address for one backend."""

    __slots__ = ("_endpoint", "_instruments", "backend", "ended", "in_flight", "processing", "started", "tokens",
                 "total", "waiting")  # fmt: skip

    def __init__(self, instruments: Instruments, endpoint: str, backend: str) -> None:
        self._instruments, self._endpoint, self.backend = instruments, endpoint, backend
        self.started = instruments.started.labels(endpoint, backend)
        self.in_flight = instruments.in_flight.labels(backend)
        self.waiting = instruments.waiting.labels(backend)
        self.processing = instruments.processing.labels(backend)
        self.total = instruments.total.labels(backend)
        self.ended = cache(lambda status, code: instruments.ended.labels(endpoint, backend, status, code))
        self.tokens = cache(lambda direction, estimated: instruments.tokens.labels(backend, direction, estimated))


class _Audience:
    """Hold the series of all readers of one dialect."""

    def __init__(self, instruments: Instruments, dialect: str) -> None:
        self.left = cache(lambda resumed, whole: instruments.readings.labels(dialect, _TRUTH[resumed], _TRUTH[whole]))
        self.events = instruments.events.labels(dialect)
        self.sent = instruments.sent.labels(dialect)
        self.first_event = instruments.first_event.labels(dialect)
        self.first_text = instruments.first_text.labels(dialect)
        self.delivery = instruments.delivery.labels(dialect)


class _Run:
    __slots__ = ("has_ended", "is_abandoned", "is_released", "lane")

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        self.has_ended = self.is_released = self.is_abandoned = False


class MetricsObserver:
    """Count."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._lane = cache(lambda endpoint, backend: _Lane(instruments, endpoint, backend))
        self._audience = cache(lambda dialect: _Audience(instruments, dialect))
        self._upstream = cache(
            lambda provider, outcome: (
                instruments.upstream_tries.labels(provider, outcome),
                instruments.upstream.labels(provider),
            )
        )
        self._runs: dict[str, _Run] = {}

    def observe(self, entries: Sequence[Entry]) -> None:
        entry = entries[-1]
        fact = entry.fact
        if not isinstance(fact, Started | Answered | Failed):
            return
        run = self._runs.get(run_id := terms(entries).run_id)
        if run is None:
            return
        if isinstance(fact, Started):
            run.lane.waiting.observe(_between(entries[0].at, entry.at))
        else:
            has_started = _ended(run.lane, fact, entries)
            run.has_ended = True
            run.is_released |= not has_started  # what has not started holds nothing
            self._let_go(run_id, run)

    def note(self, run_id: str, note: Note) -> None:
        match note:
            case Began(order=order):
                endpoint = order.origin.endpoint
                lane = self._lane(endpoint if endpoint in ENDPOINTS else "other", order.backend.name)
                self._runs[run_id] = _Run(lane)
                lane.started.inc()
                lane.in_flight.inc()
            case Asked(upstream=upstream):
                self._asked(upstream)
            case Abandoned() if (run := self._runs.get(run_id)) is not None:
                run.is_abandoned = True
                self._instruments.abandoned.inc()
            case Released() if (run := self._runs.get(run_id)) is not None:
                run.is_released = True
                if run.is_abandoned:
                    self._instruments.abandoned.dec()
                self._let_go(run_id, run)
            case Reading():
                self._read(note)
            case _:
                pass

    def _let_go(self, run_id: str, run: _Run) -> None:
        # Which of the two comes first depends on the executor, and on what keeps the journal.
        if run.has_ended and run.is_released:
            del self._runs[run_id]

    def _asked(self, upstream: Upstream) -> None:
        tries, seconds = self._upstream(upstream.provider, upstream.outcome)
        tries.inc()
        seconds.observe(upstream.seconds)

    def _read(self, reading: Reading) -> None:
        audience = self._audience(reading.dialect)
        audience.left(reading.resumed, reading.is_whole).inc()
        audience.sent.inc(reading.sent_bytes)
        if not reading.events:  # it was an answer in one piece
            return
        audience.events.inc(reading.events)
        began_at, last_at, ended_at = reading.began_at, reading.last_at, reading.ended_at
        if reading.first_event_at is not None:
            audience.first_event.observe(_between(began_at, reading.first_event_at))
        if reading.first_text_at is not None and not reading.resumed:
            audience.first_text.observe(_between(began_at, reading.first_text_at))
        if reading.is_whole and ended_at is not None and last_at is not None and began_at <= ended_at:
            audience.delivery.observe(_between(ended_at, last_at))


def _ended(lane: _Lane, ending: Answered | Failed, entries: Sequence[Entry]) -> bool:
    """Count an ending, and tell whether the run had started."""
    accepted_at, ended_at = entries[0].at, entries[-1].at
    started_at = next((entry.at for entry in entries if isinstance(entry.fact, Started)), None)
    lane.in_flight.dec()
    lane.total.observe(_between(accepted_at, ended_at))
    if started_at is not None:
        lane.processing.observe(_between(started_at, ended_at))
    lane.ended(status_after(ending), ending.code if isinstance(ending, Failed) else "none").inc()
    if isinstance(ending, Answered):
        usage = usage_of(entries)
        lane.tokens("in", _TRUTH[usage.estimated]).inc(usage.input_tokens)
        lane.tokens("out", _TRUTH[usage.estimated]).inc(usage.output_tokens)
    return started_at is not None


def _between(earlier: float, later: float) -> float:
    # Moments of another machine may be ahead of ours.
    return max(0.0, later - earlier)
