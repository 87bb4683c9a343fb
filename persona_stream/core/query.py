"""Question and answer of one ``process_query`` call.

``Query`` is the argument of ``process_query`` and ``Answer`` its optional return type. ``Principal`` identifies the
caller, ``UpstreamCall`` records one HTTP call to a provider, and ``QueryContext`` connects a running query to its run.
"""

import math
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core.content import (
    Attachment,
    Part,
    ProviderFields,
    Tool,
    ToolCall,
    ToolChoice,
    attachments_of,
    replace_unencodable,
)
from persona_stream.errors import InputUnavailable
from persona_stream.personas.persona import Persona

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller.

    Attributes:
        subject: the token's ``sub``. A run belongs to the subject that started it.
        scopes: the token's scopes: ``chat``, ``admin``.
    """

    subject: str
    scopes: frozenset[str] = frozenset({"chat"})


class UpstreamCall(Struct, frozen=True, kw_only=True):
    """One HTTP call to a provider; a retry is a call of its own."""

    provider: str  # the provider's API format
    model: str  # the requested model
    url: str  # without credentials
    request: Any  # the body, before JSON encoding
    response: Any = None  # the body, if there was one; for a stream, the assembled response
    error: str | None = None  # as in the log
    status: str = "answered"  # or the kind of the error, or ``stopped`` if the run ended first
    began_at: float  # in seconds since 1970
    seconds: float  # duration


# Not `$` at the end: in Python it matches before a final newline.
Locale = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(?![\s\S])")]
"""Language code: ``zh``, ``en``, or a language with status texts of the operator's own."""

PromptMode = Literal["append", "replace"]

Finish = Literal["stop", "length", "tools", "filter", "refusal"]

Parameters = Mapping[str, str | bool | int | float | tuple[Any, ...] | Mapping[str, Any] | None]


class CancelSignal(Protocol):
    """Flag that is set when a run ends before its query: on timeout, on cancel, or without subscribers.

    Any thread and any greenlet may read it.
    """

    def __bool__(self) -> bool:
        """Return whether the query has been cancelled."""

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds`` or until cancelled, while other greenlets run; return whether cancelled."""


class NullCancelToken:
    """Cancel signal that is never set."""

    def __bool__(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds`` and return ``False``."""
        time.sleep(seconds)
        return False


NEVER_CANCELLED: CancelSignal = NullCancelToken()


MAX_INPUT_CHARACTERS = 32_768  # of a question, and of an answer to it
MAX_CHOICES = 100
MAX_CHOICE_CHARACTERS = 1000


class InputRequest(Struct, frozen=True, omit_defaults=True):
    """Question of a backend to the user.

    It stays open for ``timeout`` seconds, or else until the deadline. ``is_refused``: whether the protocol of the run
    cannot ask, so that the question was not put to the user.
    """

    input_id: str
    question: str
    choices: tuple[str, ...] | None = None
    timeout: float | None = None
    is_refused: bool = False


class PendingInput(Protocol):
    """Answer to a question that the user may still give."""

    def result(self) -> str | None:
        """Wait for the answer; return ``None`` at the timeout, and raise ``InputUnavailable`` if the run ends."""


class QueryContext:
    """Connection of a running query to its run. The base class, for a query without a run, discards everything.

    Any thread may call the methods; none of them blocks.

    Attributes:
        cancelled: the query's cancel signal.
    """

    __slots__ = ()

    cancelled: CancelSignal = NEVER_CANCELLED

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Report progress. An empty message, or no fraction, keeps the previous one."""

    def on_text(self, text: str) -> None:
        """Send the next part of the answer."""

    def on_reasoning(self, text: str) -> None:
        """Send the next part of the reasoning."""

    def on_extras(self, extras: ProviderFields) -> None:
        """Send fields of the message to clients with the provider's protocol."""

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Record a call to a provider."""

    def on_ask(self, request: InputRequest) -> PendingInput:
        """Put a question to the user; one that ``is_refused`` is only recorded."""
        raise InputUnavailable(request.question)


NO_CONTEXT = QueryContext()


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation.

    Attributes:
        content: the text.
        parts: the whole content in order if it is more than text, else empty.
        calls: the tool calls of an assistant message.
        call_id: for a tool message, the id of the call that it answers.
        failed: whether that call failed.
        reasoning: the reasoning of an assistant message, if the client sent it back.
        extras: further fields of the message, for a provider with the client's protocol.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    parts: tuple[Part, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    failed: bool = False
    reasoning: str | UnsetType = UNSET  # this and the next one are absent in JSON
    extras: ProviderFields | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Question to a backend.

    Attributes:
        username: the persona that answers.
        message: the question: up to 32,768 characters, and up to 524,288 from ``/v1``. Not blank unless there are
            ``parts``.
        parts: the whole message in order, texts and attachments, if it is more than text, else empty.
        prompt: an additional prompt, or ``None``.
        prompt_mode: whether ``prompt`` extends or replaces the persona's own prompt.
        conversation_id: the conversation that the question belongs to.
        locale: the language of status texts: ``zh``, ``en``, or one of ``status_messages``.
        persona: the profile of ``username``, if profiles are configured.
        history: the earlier turns of the conversation, oldest first.
        tool_turns: the turns after the message: the model's replies so far, its tool calls and their results.
        tools: the tools that the client offers.
        tool_choice: whether the answer may or must call tools; ``None`` leaves that to the backend.
        parameters: the parameters that the client sent, by OpenAI's names (``temperature``, ``max_tokens``, ``stop``,
            ...) and ``top_k``, and those that only providers with the client's protocol know. Backends may ignore them.
        timeout: the deadline of the run in seconds, counted from its start; ``None`` for the server's own.
        principal: the caller.
        cancelled: true once the run has ended before its query. Code that works in steps checks it
            (``if query.cancelled: return ""``) and sleeps with ``query.cancelled.wait(seconds)``.
    """

    username: str
    message: str
    prompt: str | None = None
    prompt_mode: PromptMode = "append"
    conversation_id: str = ""
    locale: Locale = "zh"
    persona: Persona | None = None
    parts: tuple[Part, ...] = ()
    history: tuple[Turn, ...] = ()
    tool_turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parameters: Parameters = field(default_factory=lambda: MappingProxyType({}))
    timeout: float | None = None
    principal: Principal = field(default_factory=lambda: Principal(subject="anonymous"))
    _context: QueryContext = field(default=NO_CONTEXT, repr=False, compare=False)
    _protocol: str = field(default="", repr=False, compare=False)
    _can_ask: bool = field(default=False, repr=False, compare=False)

    @property
    def protocol(self) -> str:
        """The wire protocol of the request; empty for a query that came from code."""
        return self._protocol

    def report(self, message: str = "", fraction: float | None = None) -> None:
        """Report progress to the subscribers. Never blocks, and may be called at any rate.

        Args:
            message: the current step, shown instead of the rotating status text; empty keeps the status text.
            fraction: the completed share, 0.0 to 1.0; other values are clamped.

        Raises:
            TypeError: ``message`` is not a string, or ``fraction`` is not a number.
        """
        if not isinstance(message, str):
            raise TypeError(f"report() takes a string first, not {type(message).__name__}")
        if fraction is not None:
            fraction = float(fraction)
            fraction = None if math.isnan(fraction) else min(1.0, max(0.0, fraction))
        self._context.on_progress(message, fraction)

    def send(self, text: str | None) -> None:
        """Send the next part of the answer to the subscribers. Never blocks.

        ``None``, which is the content of some deltas of OpenAI's streams, is nothing. The return value of
        ``process_query`` then holds only the rest of the answer.

        Raises:
            TypeError: ``text`` is not a string.
        """
        self._context.on_text("" if text is None else _require_string(text, "send"))

    def send_reasoning(self, text: str | None) -> None:
        """Send the next part of the model's reasoning to the subscribers. Otherwise as ``send``."""
        self._context.on_reasoning("" if text is None else _require_string(text, "send_reasoning"))

    def ask(self, question: str, choices: Sequence[str] | None = None, timeout: float | None = None) -> str | None:
        """Ask the user while the run is in progress, and wait for the answer.

        The run keeps its slot meanwhile, and its deadline stays. In an ``async def``, use ``ask_async``.

        Args:
            question: the question: 1 to 32,768 characters.
            choices: the allowed answers, at most 100; ``None`` for any text.
            timeout: the seconds to wait; ``None`` to wait until the deadline of the run.

        Returns:
            The answer: one of the choices, if there are any, or else a text that may be empty. ``None`` after the
            timeout.

        Raises:
            InputUnavailable: the protocol of the request cannot ask, or the run has ended. Unless the backend catches
                it, the question becomes the answer.
            RuntimeError: the caller is code of an event loop, which would stop.
            TypeError: an argument has the wrong type.
            ValueError: an argument has an invalid value.
        """
        if _runs_in_event_loop():
            raise RuntimeError("ask() would block the event loop: use `await query.ask_async(...)`")
        return self._put_question(question, choices, timeout).result()

    async def ask_async(
        self, question: str, choices: Sequence[str] | None = None, timeout: float | None = None
    ) -> str | None:
        """Ask the user as ``ask`` does, without blocking the event loop.

        Use ``timeout`` and not ``asyncio.wait_for``, which would leave the question open for the user.
        """
        import asyncio  # only where an event loop runs: the server has none

        # Only workers have event loops, and there it is a future.
        return await asyncio.wrap_future(cast("Future[str | None]", self._put_question(question, choices, timeout)))

    def _put_question(self, question: str, choices: Sequence[str] | None, timeout: float | None) -> PendingInput:
        request = InputRequest(
            secrets.token_hex(8),
            _check_length(question, "question", MAX_INPUT_CHARACTERS),
            None if choices is None else _check_choices(choices),
            None if timeout is None else _check_timeout(timeout),
            is_refused=not self._can_ask,
        )
        pending = self._context.on_ask(request)
        if request.is_refused:
            raise InputUnavailable(request.question)
        return pending

    def send_extras(self, extras: ProviderFields) -> None:
        """Send fields of the message beside text and reasoning to clients with the provider's protocol.

        The ``Answer`` has them too, for clients that do not stream.
        """
        self._context.on_extras(extras)

    def record_upstream_call(self, call: UpstreamCall) -> None:
        """Record a call to a provider in the request log, the metrics and the trace of the run. Never blocks."""
        self._context.on_upstream_call(call)

    @property
    def cancelled(self) -> CancelSignal:
        """The cancel signal of the run."""
        return self._context.cancelled

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The images, files and recordings of the message."""
        return attachments_of(self.parts)

    @property
    def since(self) -> tuple[Turn, ...]:
        """Alias of ``tool_turns``, for backends that use its former name."""
        return self.tool_turns

    def system_prompt(self) -> str:
        """Return the system prompt: the persona's own, combined with ``prompt`` by ``prompt_mode``."""
        own = self.persona.prompt if self.persona else ""
        if not self.prompt:
            return own
        if self.prompt_mode == "replace" or not own:
            return self.prompt
        return f"{own}\n\n{self.prompt}"


def message_with_notes(query: Query) -> str:
    """Return the message as later turns of its conversation see it: with a line for each attachment."""
    return "\n".join((query.message, *(attachment.note for attachment in query.attachments)))


def all_turns(query: Query) -> tuple[Turn, ...]:
    """Return the conversation of a query: its history, its message as a turn of the user, and its tool turns."""
    return (*query.history, Turn("user", query.message, query.parts), *query.tool_turns)


def _runs_in_event_loop() -> bool:
    # Not loaded in a server, which has no event loop.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _check_length(text: object, name: str, limit: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"ask(): {name} must be a string, not {type(text).__name__}")
    if not 0 < len(text) <= limit:
        raise ValueError(f"ask(): {name} must have 1 to {limit:,} characters, not {len(text):,}")
    return replace_unencodable(text)


def _check_choices(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str):
        raise TypeError("ask(): choices must be a list of strings, not one string")
    checked = tuple(_check_length(choice, "each choice", MAX_CHOICE_CHARACTERS) for choice in choices)
    if not 0 < len(set(checked)) == len(checked) <= MAX_CHOICES:
        raise ValueError(f"ask(): choices must be 1 to {MAX_CHOICES} different strings")
    return checked


def _check_timeout(timeout: float) -> float:
    seconds = float(timeout)
    if not 0 < seconds < math.inf:
        raise ValueError(f"ask(): timeout must be finite and positive, not {timeout}")
    return seconds


def _require_string(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}() takes a string, not {type(text).__name__}")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of an answer. ``estimated`` is true for this server's own count instead of the provider's."""

    input_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]
    output_tokens: Annotated[int, Meta(description="Tokens of the answer.")]
    estimated: Annotated[
        bool, Meta(description="Whether the server estimated the counts because the provider reported none.")
    ] = False
    reasoning_tokens: Annotated[
        int | UnsetType, Meta(description="Those of the answer's tokens that are reasoning, if known.")
    ] = UNSET


@dataclass(frozen=True, slots=True)
class Answer:
    """Return value of ``process_query`` with more than a text.

    Attributes:
        text: the answer; after ``query.send``, the part that has not been sent.
        reasoning: the model's reasoning, if any. Never mixed with the text.
        usage: the token counts, if known.
        raw: the provider's own response, kept in the request log if it can be written as JSON.
        finish: why the answer ends: complete (``stop``), token limit (``length``), tool calls for the client
            (``tools``), a content filter (``filter``), or because the text is the model's refusal (``refusal``).
        calls: the tool calls.
        extras: further fields of the provider's response.
    """

    text: str
    reasoning: str | None = None
    usage: Usage | None = None
    raw: Any = field(default=None, repr=False, compare=False)
    finish: Finish = "stop"
    calls: tuple[ToolCall, ...] = ()
    extras: ProviderFields | None = None
