"""Examples that are true: a small run, told by the very code that tells the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from persona_stream.auth.tickets import RunURLSigner
from persona_stream.chunking.registry import get_chunker
from persona_stream.core.events import Wait
from persona_stream.core.facts import Accepted, Answered, Entry, Failed, FailureCode, Started
from persona_stream.core.projection import SMART, StreamProjection, StreamStyle, SubscriptionOptions
from persona_stream.core.query import Usage
from persona_stream.protocols.anthropic.encoder import AnthropicEncoder, message_response
from persona_stream.protocols.anthropic.schemas import ModelInfo, ModelInfoList
from persona_stream.protocols.base import EventEncoder
from persona_stream.protocols.native.encoder import NativeEncoder
from persona_stream.protocols.native.responses import RunList, chat_response, run_view
from persona_stream.protocols.openai.encoder import OpenAIEncoder, completion_response
from persona_stream.protocols.openai.schemas import Model, ModelList

BEGAN = 1_795_154_400.0  # 2026-11-20, 06:00 UTC, which the name of the run carries too
RUN_ID = "01m7vrmmr0hqz3v8dn4k7tw2xb"
EVENTS_URL = f"/api/runs/{RUN_ID}/events?ticket={RunURLSigner(lambda: 'nobody has this secret').sign(RUN_ID)}"

REQUEST = {"username": "VitalikButerin", "message": "What is Ethereum?", "locale": "en"}

_ACCEPTED = Accepted(
    run_id=RUN_ID,
    owner="alice",
    username="VitalikButerin",
    conversation_id=f"c-{RUN_ID}",
    style="smart",
    chunking="words",
    locale="en",
    reasoning=False,
    deadline=150.0,
    resume_for=900.0,
)
COMPLETION_REQUEST = {
    "model": "VitalikButerin",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is Ethereum?"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
}
COUNT_TOKENS_REQUEST = {
    "model": "VitalikButerin",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "What is Ethereum?"}],
}
MESSAGES_REQUEST = {**COUNT_TOKENS_REQUEST, "max_tokens": 1024, "stream": True}
_MODEL = Model(id="VitalikButerin")
_INFO = ModelInfo(id="VitalikButerin", display_name="Vitalik Buterin")
MODELS: Mapping[str, Any] = {
    each.__class__.__name__: msgspec.to_builtins(each)
    for each in (
        _MODEL,
        ModelList(data=[_MODEL]),
        _INFO,
        ModelInfoList(data=[_INFO], first_id=_INFO.id, last_id=_INFO.id),
    )
}
_ANSWER = "Ethereum is a blockchain that runs programs. Anybody can write one, and nobody can stop it."
_BEGINNING = (Entry(BEGAN, _ACCEPTED), Entry(BEGAN, Started()))
_ANSWERED = (*_BEGINNING, Entry(BEGAN + 3.5, Answered(_ANSWER, Usage(input_tokens=412, output_tokens=19))))


def stream(style: StreamStyle) -> str:
    """Give the whole stream of a run, as its bytes go over the wire."""
    native = NativeEncoder(RUN_ID, EVENTS_URL, style, "en")
    return b"".join(_frames(style, lambda journal: native)).decode()


def chunks() -> str:
    """Give the same on OpenAI's wire, with the tokens at its end."""
    return b"".join(_frames(SMART, lambda journal: OpenAIEncoder(journal, include_usage=True))).decode()


def completion_answer() -> Any:
    """Give what ``/v1/chat/completions`` answers at once."""
    return msgspec.to_builtins(completion_response(_ANSWERED)[1])


def message_events() -> str:
    """Give the same on Anthropic's wire."""
    return b"".join(_frames(SMART, AnthropicEncoder)).decode()


def message_answer() -> Any:
    """Give what ``/v1/messages`` answers at once."""
    return msgspec.to_builtins(message_response(_ANSWERED)[1])


def answer() -> Any:
    """Give what ``/api/chat`` answers."""
    return msgspec.to_builtins(chat_response(_ANSWERED)[1])


def failure(code: FailureCode, after: float, text: str | None = None) -> Any:
    """Give what ``/api/chat`` answers when there is no answer."""
    return msgspec.to_builtins(chat_response((*_BEGINNING, Entry(BEGAN + after, Failed(code, text))))[1])


def run(*, answered: bool) -> Any:
    """Give a run as it is shown, after its end or two seconds into it."""
    entries, now = (_ANSWERED, BEGAN + 60.0) if answered else (_BEGINNING, BEGAN + 2.0)
    return msgspec.to_builtins(run_view(entries, now, EVENTS_URL))


def runs() -> Any:
    """Give a page of runs."""
    return msgspec.to_builtins(RunList(runs=[run_view(_ANSWERED, BEGAN + 60.0, EVENTS_URL)], next=None))


def _frames(style: StreamStyle, speak: Callable[[Sequence[Entry]], EventEncoder]) -> Iterator[bytes]:
    """Drive a script with a clock that leaps to the next moment at which something happens."""
    journal, moments = [_ANSWERED[0]], [BEGAN]
    reader = SubscriptionOptions(style, get_chunker(style.chunking), "en")
    dialect = speak(journal)
    for step in StreamProjection(journal, reader, lambda: moments[-1]):
        if not isinstance(step, Wait):
            yield dialect.encode(step)
            continue
        coming = _ANSWERED[len(journal) : len(journal) + 1]
        moments.append(min([step.until, *(entry.at for entry in coming)]))
        journal.extend(entry for entry in coming if entry.at <= moments[-1])
