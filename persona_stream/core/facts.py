"""Facts of a run: the record types of its journal, each stored with its time.

Invariants:
    ``Accepted`` is the first fact, and only the first.
    ``Queued`` comes before ``Started``.
    There is at most one final fact (``Answered`` or ``Failed``), and no fact follows it.
    All events that a subscriber receives are derived from these facts and the clock.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from persona_stream.core import content, query
from persona_stream.core.forecast import Forecast
from persona_stream.errors import BackendErrorCode

FailureCode = Literal[BackendErrorCode, "internal", "answer_too_large", "lost", "draining", "timeout", "cancelled"]


class Accepted(Struct, frozen=True, tag="accepted"):
    """Query accepted; the terms apply to all subscribers of the run. ``deadline`` and ``resume_for`` in seconds.

    ``request`` is JSON: the part of the request that its protocol needs to answer, if it needs more than these terms.
    ``is_logged`` says whether the request log has the run.
    """

    run_id: str
    owner: str
    username: str
    conversation_id: str
    style: str
    chunking: str
    locale: query.Locale
    reasoning: bool
    deadline: float
    resume_for: float
    question_tokens: int = 0  # estimate, for backends that report no usage
    backend: str = ""  # name of the backend
    request: str = ""
    is_logged: bool = True


class Queued(Struct, frozen=True, tag="queued"):
    """Run queued at this position (1 starts next; stored as ``place``); ``eta`` in seconds, if it can be estimated."""

    position: int = field(name="place")
    eta: float | None = None


class Started(Struct, frozen=True, tag="started", omit_defaults=True):
    """process_query started; the deadline counts from here.

    ``history_tokens`` is an estimate for history that the server loaded; history in the request counts as question.
    ``forecast`` comes from earlier runs, if there are any.
    """

    history_tokens: int = 0
    forecast: Forecast | None = None


class ProgressReported(Struct, frozen=True, tag="reported"):
    """Progress reported by the backend. An empty message leaves the status text unchanged."""

    message: str
    fraction: float | None


class InputRequested(Struct, frozen=True, tag="input_requested", omit_defaults=True):
    """Question of the backend to the user."""

    request: query.InputRequest


class InputClosed(Struct, frozen=True, tag="input_closed", omit_defaults=True):
    """Answer to a question of the backend, or its timeout (``None``). The first one of a question counts.

    ``attempt`` identifies the request that brought the answer.
    """

    input_id: str
    value: str | None = None
    attempt: str = ""


class ReasoningDelta(Struct, frozen=True, tag="reasoned"):
    """Part of the model's reasoning."""

    text: str


class AnswerDelta(Struct, frozen=True, tag="delta"):
    """Part of the answer, from a streaming backend. Never empty."""

    text: str


class ProviderDelta(Struct, frozen=True, tag="provider_delta"):
    """Fields of a message that a provider streamed, for clients with its protocol: a mapping for each part."""

    dialect: str
    fields: tuple[Mapping[str, Any], ...]


class Answered(Struct, frozen=True, tag="answered", omit_defaults=True):
    """Run completed. ``text`` is the rest that no ``AnswerDelta`` carried; the other fields are those of ``Answer``.

    ``cached``: whether it is the answer of another run.
    """

    text: str
    usage: query.Usage | None = None
    finish: query.Finish = "stop"
    calls: tuple[content.ToolCall, ...] = ()
    extras: content.ProviderFields | None = None
    cached: bool = False


class Failed(Struct, frozen=True, tag="failed", omit_defaults=True):
    """Run failed. ``text`` is the message of a ``BackendError``; otherwise ``i18n`` supplies the text.

    ``retry_after`` is the delay in seconds after which a client may try again, if the backend requires one.
    """

    code: FailureCode
    text: str | None = None
    retry_after: float | None = None


_FINAL_FACTS = (Answered, Failed)  # a tuple: a union would be built anew for each fact that is checked

Fact = (
    Accepted
    | Queued
    | Started
    | ProgressReported
    | InputRequested
    | InputClosed
    | ReasoningDelta
    | AnswerDelta
    | ProviderDelta
    | Answered
    | Failed
)


class Entry(Struct, frozen=True):
    """Fact with its time in seconds since 1970, by the clock of the machine that ran the query."""

    at: float
    fact: Fact


def text_of(fact: Fact) -> str:
    """Return the text of a fact that subscribers receive, or an empty string."""
    match fact:
        case ReasoningDelta(text=text) | AnswerDelta(text=text) | Answered(text=text):
            return text
        case _:
            return ""


def is_ending(fact: Fact) -> bool:
    """Return whether the fact is final."""
    return isinstance(fact, _FINAL_FACTS)


def has_ended(entries: Sequence[Entry]) -> bool:
    """Return whether the last fact of a journal is final."""
    return is_ending(entries[-1].fact)


def has_started(entries: Sequence[Entry]) -> bool:
    """Return whether a run has started, or has ended without."""
    return any(isinstance(entry.fact, Started) or is_ending(entry.fact) for entry in entries)


def open_input(entries: Sequence[Entry]) -> query.InputRequest | None:
    """Return the oldest question that is open, if there is one."""
    inputs = OpenInputs()
    for entry in entries:
        inputs.add(entry.at, entry.fact)
    return None if inputs.oldest is None else inputs.oldest[1]


def find_input(entries: Sequence[Entry], input_id: str) -> query.InputRequest | None:
    """Return the question with this id that was put to the user."""
    asked = (entry.fact.request for entry in entries if isinstance(entry.fact, InputRequested))
    return next((request for request in asked if request.input_id == input_id and not request.is_refused), None)


def has_asked(entries: Sequence[Entry]) -> bool:
    """Return whether the backend has asked the user, or has tried to."""
    return any(isinstance(entry.fact, InputRequested) for entry in entries)


class OpenInputs:
    """Questions of a run that are open, from its facts in their order."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, tuple[float, query.InputRequest]] | None = None  # most runs ask nothing

    def add(self, at: float, fact: Fact) -> None:
        """Apply a fact."""
        match fact:
            case InputRequested(request=request) if not request.is_refused:
                self._open = {**(self._open or {}), request.input_id: (at, request)}
            case InputClosed(input_id=input_id) if self._open:
                self._open.pop(input_id, None)
            case Answered() | Failed():
                self._open = None

    @property
    def oldest(self) -> tuple[float, query.InputRequest] | None:
        """The question that subscribers see, and when it was asked; ``None`` if none is open."""
        return next(iter(self._open.values()), None) if self._open else None


def closed_input(entries: Sequence[Entry], input_id: str) -> InputClosed | None:
    """Return the fact that closed a question: the first of them."""
    closed = (entry.fact for entry in entries if isinstance(entry.fact, InputClosed))
    return next((fact for fact in closed if fact.input_id == input_id), None)


def run_terms(entries: Sequence[Entry]) -> Accepted:
    """Return the terms of a run: the first fact of its journal."""
    fact = entries[0].fact
    if not isinstance(fact, Accepted):
        raise TypeError(f"a journal begins with Accepted, not with {type(fact).__name__}")
    return fact
