"""What the end of process_query becomes in the journal: every outcome has a place here."""

from __future__ import annotations

import logging
from types import NoneType
from typing import get_args

import msgspec

from persona_stream.core.content import ProviderFields, ToolCall, replace_unencodable
from persona_stream.core.facts import Answered, Failed, ReasoningDelta
from persona_stream.core.query import Answer, Finish, Usage
from persona_stream.errors import BackendError
from persona_stream.executors.base import AnswerTooLarge, Raised, TaskResult, WorkerError

logger = logging.getLogger("persona_stream.runs")

FinalFacts = tuple[ReasoningDelta | Answered | Failed, ...]


def to_final_facts(outcome: TaskResult, limit_bytes: int, sent_bytes: int = 0) -> FinalFacts:
    """Give the facts that an outcome ends its run with; log what the client is not told.

    A string, or the text of an ``Answer``, is the answer, with lone surrogates and NUL replaced. An answer of
    white space alone, without reasoning, is a ``backend_error``: a blank page helps nobody; unless text was sent
    before it, it calls tools, or says itself that it is cut short. Any other type is a mistake of the backend's
    author: ``internal``.

    Args:
        outcome: what came of process_query.
        limit_bytes: how large an answer may be, all in all.
        sent_bytes: how much of it was sent before.
    """
    if isinstance(outcome, Raised):
        return (_raised(outcome.error, limit_bytes),)
    value = Answer(outcome.value) if isinstance(outcome.value, str) else outcome.value
    if not isinstance(value, Answer):
        logger.error("process_query must return a string or an Answer, and returned %s", type(value).__name__)
        return (Failed("internal"),)
    if problem := _problem(value):
        logger.error("%s", problem)
        return (Failed("internal"),)
    text, reasoning = replace_unencodable(value.text), replace_unencodable(value.reasoning or "")
    calls = tuple(
        ToolCall(replace_unencodable(call.id), replace_unencodable(call.name), replace_unencodable(call.arguments))
        for call in value.calls
    )
    extras, extra_bytes = _extras(value.extras)
    more = sum(map(_bytes, (text, reasoning, *(call.arguments for call in calls))))
    if sent_bytes + extra_bytes + more > limit_bytes:
        return (_too_large(limit_bytes),)
    says_nothing = not text.strip() and not reasoning.strip()
    if says_nothing and not (sent_bytes or calls or value.finish != "stop"):
        logger.error("process_query returned an empty answer")
        return (Failed("backend_error"),)
    answered = Answered(text, value.usage, value.finish, calls, extras)
    return (ReasoningDelta(reasoning), answered) if reasoning else (answered,)


def _problem(answer: Answer) -> str | None:
    """Say what an author put into an answer that its type does not allow: nobody checks a stranger's code."""
    allowed: dict[str, tuple[type, ...]] = {
        "text": (str,),
        "reasoning": (str, NoneType),
        "usage": (Usage, NoneType),
        "calls": (tuple,),
        "extras": (ProviderFields, NoneType),
    }
    for name, types in allowed.items():
        if not isinstance(value := getattr(answer, name), types):
            return f"the {name} of an Answer must be a {types[0].__name__}, and was a {type(value).__name__}"
    if answer.finish not in get_args(Finish):
        return f"the finish of an Answer must be one of {', '.join(get_args(Finish))}, and was {answer.finish!r:.100}"
    for call in answer.calls:
        if not isinstance(call, ToolCall) or not all(
            isinstance(part, str) for part in (call.id, call.name, call.arguments)
        ):
            return f"the calls of an Answer must be ToolCalls of three strings, and one was {call!r:.100}"
    return None


def _extras(extras: ProviderFields | None) -> tuple[ProviderFields | None, int]:
    """Give what can be kept of them, and how many bytes that is."""
    if extras is None:
        return None, 0
    try:
        return extras, len(msgspec.json.encode(extras))
    except (TypeError, ValueError, RecursionError) as error:  # no JSON, or half a character
        logger.warning("what else the provider said is left out: %s", error)
        return None, 0


def _too_large(limit_bytes: int) -> Failed:
    logger.error("the answer is over max_answer_bytes (%d): raise that, or shorten the answer", limit_bytes)
    return Failed("answer_too_large")


def _raised(error: BaseException, limit_bytes: int) -> Failed:
    if isinstance(error, BackendError):
        logger.warning("the backend gave up: %s", error)
        return Failed("backend_error", replace_unencodable(str(error)) or None)
    if isinstance(error, AnswerTooLarge):
        return _too_large(limit_bytes)
    if isinstance(error, WorkerError):
        logger.error("%s", error)
        return Failed("internal")
    logger.error("process_query raised %s", type(error).__name__, exc_info=error)
    return Failed("internal")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
