"""What the end of process_query becomes in the journal: every outcome has a place here."""

from __future__ import annotations

import logging
from types import NoneType

from persona_stream.errors import BackendError
from persona_stream.executors import Outcome, Raised
from persona_stream.facts import Answered, Failed, Reasoned
from persona_stream.query import Answer, Usage
from persona_stream.texts import clean

logger = logging.getLogger("persona_stream.runs")

Conclusion = tuple[Reasoned | Answered | Failed, ...]


def conclude(outcome: Outcome, limit_bytes: int) -> Conclusion:
    """Give the facts that an outcome ends its run with; log what the client is not told.

    A string, or the text of an ``Answer``, is the answer, with lone surrogates and NUL replaced. An answer of
    white space alone, without reasoning, is a ``backend_error``: a blank page helps nobody. Any other type is a
    mistake of the backend's author: ``internal``.
    """
    if isinstance(outcome, Raised):
        return (_raised(outcome.error),)
    value = Answer(outcome.value) if isinstance(outcome.value, str) else outcome.value
    if not isinstance(value, Answer):
        logger.error("process_query must return a string or an Answer, and returned %s", type(value).__name__)
        return (Failed("internal"),)
    if problem := _problem(value):
        logger.error("%s", problem)
        return (Failed("internal"),)
    text, reasoning = clean(value.text), clean(value.reasoning or "")
    if _bytes(text) + _bytes(reasoning) > limit_bytes:
        logger.error("the answer is over max_answer_bytes (%d): raise that, or shorten the answer", limit_bytes)
        return (Failed("answer_too_large"),)
    if not text.strip() and not reasoning.strip():
        logger.error("process_query returned an empty answer")
        return (Failed("backend_error"),)
    answered = Answered(text, value.usage)
    return (Reasoned(reasoning), answered) if reasoning else (answered,)


def _problem(answer: Answer) -> str | None:
    """Say what an author put into an answer that its type does not allow: nobody checks a stranger's code."""
    allowed: dict[str, tuple[type, ...]] = {"text": (str,), "reasoning": (str, NoneType), "usage": (Usage, NoneType)}
    for name, types in allowed.items():
        if not isinstance(value := getattr(answer, name), types):
            return f"the {name} of an Answer must be a {types[0].__name__}, and was a {type(value).__name__}"
    return None


def _raised(error: BaseException) -> Failed:
    if isinstance(error, BackendError):
        logger.warning("the backend gave up: %s", error)
        return Failed("backend_error", clean(str(error)) or None)
    logger.error("process_query raised %s", type(error).__name__, exc_info=error)
    return Failed("internal")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
