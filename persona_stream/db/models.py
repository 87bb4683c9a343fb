"""What is read from the log: values, named as the tables' columns are.

What was said, as it is looked up.

Which runs of the log somebody wants to see.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Step(Struct, frozen=True, omit_defaults=True):
    """Hold a moment of a run.

    Attributes:
        at: when, in seconds since 1970.
        kind: ``started``, ``reported``, ``reasoned``, ``text``, ``asked``, ``answered`` or ``failed``.
        seconds: how long it took, where it did.
        text: what was reported, or which provider was asked.
        fraction: how much of the work was done by then, 0.0 to 1.0.
        characters: how much was said.
    """

    at: float
    kind: str
    seconds: float = 0.0
    text: str = ""
    fraction: float | None = None
    characters: int = 0


class RunRow(Struct, frozen=True):
    """Hold of a run what a list shows. Moments are seconds since 1970, durations seconds, costs US dollars."""

    run_id: str
    status: str
    code: str | None
    accepted_at: float
    ended_at: float | None
    owner: str
    username: str
    question: str
    endpoint: str
    dialect: str
    style: str
    backend: str
    model: str | None
    http_status: int | None
    waiting: float | None
    processing: float | None
    ttft: float | None
    delivery: float | None
    total: float | None
    input_tokens: int | None
    output_tokens: int | None
    tokens_estimated: bool | None
    cost: float | None


class RunRecord(RunRow, frozen=True):
    """Hold the whole short row of a run. Of several readers, the moments are the first one's."""

    conversation_id: str
    provider: str | None
    method: str
    address: str
    user_agent: str
    finish: str | None
    started_at: float | None
    text_at: float | None
    first_event_at: float | None
    first_text_at: float | None
    delivered_at: float | None
    ttfe: float | None
    tpot: float | None
    characters: int | None
    readers: int
    resumes: int
    events: int
    pieces: int
    sent_bytes: int


class UpstreamAttempt(Struct, frozen=True):
    """Hold what was asked of a provider, and what came back; the bodies only where texts are kept."""

    provider: str
    model: str
    url: str
    trouble: str | None
    began_at: float
    seconds: float
    request: Any = None
    response: Any = None


class RunTexts(Struct, frozen=True):
    """Hold the texts of a run: ``None`` for what there is not, not yet, or by the operator's wish."""

    request_headers: list[tuple[str, str]] | None = None
    request_body: str | None = None
    prompt: str | None = None
    question: str | None = None
    response_headers: list[tuple[str, str]] | None = None
    answer: str | None = None
    reasoning: str | None = None
    error: str | None = None
    steps: list[Step] | None = None
    upstream: list[UpstreamAttempt] | None = None
    raw: Any = None


class FilterOptions(Struct, frozen=True):
    """Hold the values that runs can be filtered by."""

    statuses: list[str]
    owners: list[str]
    usernames: list[str]
    endpoints: list[str]
    models: list[str]


class Percentiles(Struct, frozen=True):
    """Hold durations that 50, 95 and 99 of a hundred runs do not exceed, in seconds; ``None`` where there were none."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class DataPoint(Struct, frozen=True):
    """Hold a slice of a chart: what happened in the time from ``at`` on."""

    at: float
    requests: int
    failed: int
    cost: float
    in_flight: float
    ttft: Percentiles
    total: Percentiles


class Stage(Struct, frozen=True):
    """Hold how long a stage took: the mean in seconds, of so many runs that had it."""

    name: str
    runs: int
    mean: float | None


class Totals(Struct, frozen=True):
    """Hold a time in all. ``characters_per_second`` is the pace at which answers were delivered."""

    requests: int
    failed: int
    cost: float
    input_tokens: int
    output_tokens: int
    characters_per_second: float | None
    stages: list[Stage]


class Chart(Struct, frozen=True):
    """Hold a time in slices of so many seconds, and in all. The ends are where slices begin and end."""

    since: float
    until: float
    seconds: float
    points: list[DataPoint]
    totals: Totals


class Conversation(Struct, frozen=True):
    """Hold a conversation without what was said. Moments are seconds since 1970."""

    conversation_id: str
    username: str
    title: str
    created_at: float
    updated_at: float


class Exchange(Struct, frozen=True):
    """Hold a question and its answer, or as much of it as there was."""

    run_id: str
    username: str
    at: float
    question: str
    answer: str
    reasoning: str | None
    is_complete: bool
    status: str


FAILED = ("error", "timeout")
"""What a run's status is when it went wrong."""


class RunFilters(Struct, frozen=True):
    """Say which runs are wanted; what is left out does not matter.

    Attributes:
        statuses: any of these.
        user: the caller or the persona.
        slow: those that took so many seconds or longer.
        since, until: those that were taken in from one moment, and before another, in seconds since 1970.
        ended_since: those that have ended, at this moment or later.
        search: those that have this text in the beginning of their question, or in the name of caller or persona,
            or whose name begins with it.
    """

    statuses: tuple[str, ...] = ()
    user: str | None = None
    endpoint: str | None = None
    model: str | None = None
    conversation: str | None = None
    slow: float | None = None
    since: float | None = None
    until: float | None = None
    ended_since: float | None = None
    search: str | None = None
