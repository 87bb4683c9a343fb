"""What happened to a run, and when, in few words: what a drawing of its time is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from persona_stream.core.facts import Answered, Delta, Entry, Failed, Reasoned, Reported, Started, text_of
from persona_stream.core.query import Upstream

_MOST = 500  # a backend may report ten times a second


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


def steps_of(entries: Sequence[Entry], upstream: Sequence[Upstream], *, texts: bool) -> list[Step]:
    """Give the steps of a run in their order, at most some hundreds. Parts of a text that follow each other are one."""
    steps = [*_told(entries, texts), *(_asked(each) for each in upstream)]
    steps.sort(key=lambda step: step.at)
    return steps[: _MOST - 1] + steps[-1:] if len(steps) > _MOST else steps


def _told(entries: Sequence[Entry], texts: bool) -> Iterator[Step]:
    run: Step | None = None  # parts of one text
    for entry in entries:
        fact = entry.fact
        kind = {Delta: "text", Reasoned: "reasoned"}.get(type(fact))
        if run is not None and kind == run.kind:
            run = Step(run.at, run.kind, entry.at - run.at, characters=run.characters + len(text_of(fact)))
            continue
        if run is not None:
            yield run
            run = None
        match fact:
            case Started():
                yield Step(entry.at, "started")
            case Reported(message=message, fraction=fraction):
                yield Step(entry.at, "reported", text=message if texts else "", fraction=fraction)
            case Delta() | Reasoned():
                run = Step(entry.at, kind or "", characters=len(text_of(fact)))
            case Answered(text=text):
                yield Step(entry.at, "answered", characters=len(text))
            case Failed(code=code):
                yield Step(entry.at, "failed", text=code)
            case _:
                pass


def _asked(upstream: Upstream) -> Step:
    return Step(upstream.began_at, "asked", upstream.seconds, f"{upstream.provider} {upstream.model}")
