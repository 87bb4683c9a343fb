"""Outcome of ``process_query`` and its conversion to the final facts of a run.

Pure, so that a worker on another machine can use it too. The log receives the details that clients must not see.
"""

import logging
from collections.abc import Callable
from typing import get_args

import msgspec

from persona_stream.core import content, facts, query
from persona_stream.errors import BackendError, BackendErrorCode, InputUnavailable
from persona_stream.logging import log_remote_error

logger = logging.getLogger("persona_stream.runs")

MAX_ERROR_CHARACTERS = 10_000


MAX_RETRY_AFTER = 10**9  # seconds


class Returned(msgspec.Struct, frozen=True):
    """Return value of process_query."""

    value: object


class Raised(msgspec.Struct, frozen=True):
    """Exception raised by process_query, or by the executor on its behalf."""

    error: BaseException


TaskResult = Returned | Raised


def capture(function: Callable[..., object], *args: object) -> TaskResult:
    """Call a function, and return its value or its exception, whichever it is: SystemExit too ends only its run."""
    try:
        return Returned(function(*args))
    except BaseException as error:  # noqa: BLE001 - see above
        return Raised(error)


def answer_with_question(result: TaskResult) -> TaskResult:
    """Return the question as the answer if it could not be put to the user; otherwise the result itself."""
    if isinstance(result, Raised) and isinstance(result.error, InputUnavailable):
        return Returned(str(result.error))
    return result


class WorkerError(Exception):
    """Failure of process_query in another process. The text, and the traceback of that process, are for the log."""

    def __init__(self, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.traceback = traceback


class AnswerTooLarge(WorkerError):
    """Answer over the size limit that was discarded before it was read."""


FinalFacts = tuple[facts.ReasoningDelta | facts.Answered | facts.Failed, ...]

_ANSWER_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "reasoning": (str, type(None)),
    "usage": (query.Usage, type(None)),
    "calls": (tuple,),
    "extras": (content.ProviderFields, type(None)),
}


def to_final_facts(result: TaskResult, max_bytes: int, sent_bytes: int = 0, name: str = "process_query") -> FinalFacts:
    """Return the facts that end the run of a result.

    A string, or the text of an ``Answer``, is the answer, with lone surrogates and NUL replaced. Text of white space
    alone, without reasoning, is a ``backend_error``, unless text was sent before, the answer calls tools, or its
    ``finish`` says that it is cut short. Any other type is a programming error: ``internal``. The whole answer, with
    the ``sent_bytes`` sent before, may have ``max_bytes``. A question that could not be put to the user is the answer
    too. ``name`` is that of the backend, for the log.
    """
    result = answer_with_question(result)
    if isinstance(result, Raised):
        return (_to_failure(result.error, max_bytes),)
    value = query.Answer(result.value) if isinstance(result.value, str) else result.value
    if (problem := find_problem(value, name)) is not None or not isinstance(value, query.Answer):
        logger.error("%s", problem)
        return (facts.Failed("internal"),)
    text = content.replace_unencodable(value.text)
    reasoning = content.replace_unencodable(value.reasoning or "")
    extras, extra_bytes = check_extras(value.extras)
    calls: list[content.ToolCall] = []
    for call in value.calls:
        call_extras, call_bytes = check_extras(call.extras or None)
        extra_bytes += call_bytes
        id_, name_, arguments = map(content.replace_unencodable, (call.id, call.name, call.arguments))
        calls.append(content.ToolCall(id_, name_, arguments, call_extras or msgspec.UNSET))
    rest_bytes = sum(map(_byte_length, (text, reasoning, *(call.arguments for call in calls))))
    if sent_bytes + extra_bytes + rest_bytes > max_bytes:
        return (_answer_too_large(max_bytes),)
    is_blank = not text.strip() and not reasoning.strip()
    if is_blank and not (sent_bytes or calls or value.finish != "stop"):
        logger.error("process_query returned an empty answer")
        return (facts.Failed("backend_error"),)
    answered = facts.Answered(text, value.usage, value.finish, tuple(calls), extras)
    return (facts.ReasoningDelta(reasoning), answered) if reasoning else (answered,)


def text_length(result: TaskResult) -> int:
    """Return the number of characters of an answer and its reasoning; 0 if the result is none."""
    match result:
        case Returned(value=str(text)):
            return len(text)
        case Returned(value=query.Answer(text=str(text), reasoning=reasoning)):
            return len(text) + (len(reasoning) if isinstance(reasoning, str) else 0)
        case _:
            return 0


def find_problem(value: object, name: str) -> str | None:
    """Return why a return value of the backend ``name`` is invalid, for the log; ``None`` if it is a valid answer."""
    if isinstance(value, str):
        return None
    if not isinstance(value, query.Answer):
        return f"{name} returned {type(value).__name__}: return a string or an Answer{_find_text(value)}"
    for field, types in _ANSWER_TYPES.items():
        if not isinstance(found := getattr(value, field), types):
            return f"the {field} of an Answer must be a {types[0].__name__}, and was a {type(found).__name__}"
    if value.finish not in get_args(query.Finish):
        return (
            f"the finish of an Answer must be one of {', '.join(get_args(query.Finish))}, and was {value.finish!r:.100}"
        )
    usage = value.usage
    for count in () if usage is None else (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens):
        if count is not msgspec.UNSET and not (isinstance(count, int) and 0 <= count < 2**63):
            return f"the token counts of an Answer must be whole numbers, 0 or more, and one was {count!r:.100}"
    for call in value.calls:
        if not isinstance(call, content.ToolCall) or not all(
            isinstance(part, str) for part in (call.id, call.name, call.arguments)
        ):
            return f"the calls of an Answer must be ToolCalls of three strings, and one was {call!r:.100}"
    return None


def _find_text(value: object) -> str:
    """Return how to get the text out of the values that popular libraries return, as the end of a sentence."""
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    if type(value).__name__ == "coroutine":
        return ", and declare a function that awaits with async def"
    if "messages" in fields:  # LangGraph
        return ', such as result["messages"][-1].content'
    if "choices" in fields:  # OpenAI
        return ", such as response.choices[0].message.content"
    if isinstance(fields.get("content"), list):  # Anthropic, or LangChain with blocks
        return ", such as the text of its content blocks"
    return ", such as its content" if "content" in fields else ""  # LangChain


def check_extras(extras: content.ProviderFields | None) -> tuple[content.ProviderFields | None, int]:
    """Return the extras and their size in bytes; ``None`` and 0 if JSON cannot represent them."""
    if extras is None:
        return None, 0
    try:
        return extras, len(msgspec.json.encode(extras))
    except (TypeError, ValueError, RecursionError) as error:  # not JSON, or a lone surrogate
        logger.warning("the extras of the answer are dropped: %s", error)
        return None, 0


def describe_backend_error(error: BackendError) -> tuple[str, BackendErrorCode, float | None]:
    """Return the text, the code and the ``retry_after`` of an exception; a subclass may define them in any way."""
    try:
        text = content.replace_unencodable(str(error)[:MAX_ERROR_CHARACTERS])
    except Exception:  # noqa: BLE001 - a subclass of the user may have any __str__
        text = ""
    code = error.code if error.code in get_args(BackendErrorCode) else "backend_error"
    delay = error.retry_after
    is_delay = isinstance(delay, int | float) and 0 <= delay < MAX_RETRY_AFTER
    return text, code, float(delay or 0) if is_delay else None


def _answer_too_large(max_bytes: int) -> facts.Failed:
    logger.error("the answer exceeds max_answer_bytes (%d): raise the limit, or shorten the answer", max_bytes)
    return facts.Failed("answer_too_large")


def _to_failure(error: BaseException, max_bytes: int) -> facts.Failed:
    match error:
        case BackendError():
            text, code, retry_after = describe_backend_error(error)
            logger.warning("the backend reported an error: %s", text or type(error).__name__)
            return facts.Failed(code, text or None, retry_after)
        case AnswerTooLarge():
            return _answer_too_large(max_bytes)
        case WorkerError():
            log_remote_error(logger, str(error), error.traceback)
        case _:
            logger.error("process_query raised %s", type(error).__name__, exc_info=error)
    return facts.Failed("internal")


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
