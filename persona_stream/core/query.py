"""What process_query is given, and what it may give back.

The caller.

What was asked of a provider, and what came back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from persona_stream.core.content import Part, ProviderFields, Tool, ToolCall, ToolChoice
from persona_stream.personas.persona import Persona


@dataclass(frozen=True, slots=True)
class Principal:
    """Say who calls, and what they may do.

    Attributes:
        subject: the token's ``sub``. A run belongs to the subject that started it.
        scopes: the token's scopes: ``chat``, ``admin``.
    """

    subject: str
    scopes: frozenset[str] = frozenset({"chat"})


class UpstreamCall(Struct, frozen=True, kw_only=True):
    """Hold one try.

    Attributes:
        provider: the dialect that it speaks.
        model: the model that was asked for.
        url: where; without credentials.
        request: the body that was sent, before it was written as JSON.
        response: the body of the answer; of a stream, the whole that it comes to. ``None`` where none came.
        trouble: what went wrong, in the log's words, or ``None``.
        outcome: ``answered``, the kind of the trouble, or ``stopped`` where the run ended first.
        began_at: the moment, in seconds since 1970.
        seconds: how long it took.
    """

    provider: str
    model: str
    url: str
    request: Any
    response: Any = None
    trouble: str | None = None
    outcome: str = "answered"
    began_at: float
    seconds: float


Locale = Literal["zh", "en"]
PromptMode = Literal["append", "replace"]

Finish = Literal["stop", "length", "tools", "filter"]

Parameters = Mapping[str, str | int | float | tuple[str, ...] | Mapping[str, Any]]

Report = Callable[[str, float | None], None]
Send = Callable[[str], None]
Tell = Callable[[UpstreamCall], None]


class CancelSignal(Protocol):
    """Tell a query whether its run has ended before it: at the deadline, on cancel, because nobody reads any more.

    Any thread may ask, and any greenlet.
    """

    def __bool__(self) -> bool:
        """Whether there is nothing to work for any more."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds, or until it is so; tell whether it is. Others move on meanwhile."""
        ...


class NullCancelToken:
    """Nobody cancels."""

    def __bool__(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False


NEVER_CANCELLED: CancelSignal = NullCancelToken()


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold one message of the conversation.

    Attributes:
        content: its text.
        parts: all that it holds, in order, when that is more than text; else empty.
        calls: the tools that an assistant's message asks for.
        call_id: the call that a tool's message is the result of.
        failed: whether that call failed.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    parts: tuple[Part, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Hold one question to a backend, and take its progress.

    Attributes:
        username: whose persona answers.
        message: what is asked: up to 32,768 characters, and up to 524,288 from ``/v1``. Never blank, unless there
            are ``parts``.
        parts: all that the message holds, in order, when that is more than text; else empty.
        prompt: an additional prompt, or ``None``.
        prompt_mode: whether ``prompt`` is added to the persona's own prompt, or used instead of it.
        conversation_id: the conversation that this belongs to.
        locale: the language of status texts, ``zh`` or ``en``.
        persona: the profile of ``username``, when profiles are configured.
        history: earlier turns of the conversation, oldest first.
        since: turns after the message: what the model has said to it so far, calls of tools, and their results.
        tools: what the client can do when the answer asks for it.
        tool_choice: whether the answer may ask for it; ``None`` leaves that to the backend.
        parameters: how to sample, by the names that OpenAI has for it (``temperature``, ``max_tokens``, ``stop``,
            ...), and ``top_k``: those that the client sent. Backends may leave them be.
        principal: the caller.
        cancelled: true once the run has ended before its work: code that goes through steps of its own looks at it
            (``if query.cancelled: return ""``), and sleeps by ``query.cancelled.wait(seconds)``.
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
    principal: Principal = field(default_factory=lambda: Principal(subject="anonymous"))
    cancelled: CancelSignal = field(default=NEVER_CANCELLED, repr=False, compare=False)
    on_report: Report = field(default=lambda message, fraction: None, repr=False, compare=False)
    on_text: Send = field(default=lambda text: None, repr=False, compare=False)
    on_reasoning: Send = field(default=lambda text: None, repr=False, compare=False)
    on_upstream: Tell = field(default=lambda upstream: None, repr=False, compare=False)

    def report(self, message: str = "", fraction: float | None = None) -> None:
        """Tell the readers how far this query is. Never blocks, and may be called as often as you like.

        Args:
            message: what is being done now, in place of the rotating status text; empty leaves that as it is.
            fraction: how much is done, 0.0 to 1.0; values outside are brought to the nearer end.

        Raises:
            TypeError: ``message`` is not a string, or ``fraction`` is not a number.
        """
        if not isinstance(message, str):
            raise TypeError(f"report() takes a string first, not {type(message).__name__}")
        if fraction is not None:
            fraction = float(fraction)
            fraction = None if math.isnan(fraction) else min(1.0, max(0.0, fraction))
        self.on_report(message, fraction)

    def send(self, text: str) -> None:
        """Give the readers a part of the answer now. Never blocks.

        What process_query returns in the end is then only what it has not sent.

        Raises:
            TypeError: ``text`` is not a string.
        """
        self.on_text(_string(text, "send"))

    def send_reasoning(self, text: str) -> None:
        """Give the readers a part of what the model thinks now. As ``send``."""
        self.on_reasoning(_string(text, "send_reasoning"))

    @property
    def since(self) -> tuple[Turn, ...]:
        """Alias of ``tool_turns``, for backends written before it had that name."""
        return self.tool_turns

    def system_prompt(self) -> str:
        """Give the system prompt: the persona's own, and what ``prompt`` and ``prompt_mode`` make of it."""
        own = self.persona.prompt if self.persona else ""
        if not self.prompt:
            return own
        if self.prompt_mode == "replace" or not own:
            return self.prompt
        return f"{own}\n\n{self.prompt}"


def _string(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}() takes a string, not {type(text).__name__}")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Count the tokens that an answer took. ``estimated`` says that we counted, not the provider."""

    input_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]
    output_tokens: Annotated[int, Meta(description="Tokens of the answer.")]
    estimated: Annotated[
        bool, Meta(description="Whether the server estimated the counts because the provider reported none.")
    ] = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Give more than a text back from process_query.

    Attributes:
        text: the answer; of one that was sent in parts, what has not been sent.
        reasoning: what the model thought before it, if it says so. Never mixed with the text.
        usage: tokens in and out, when known.
        raw: the provider's own answer, kept for the request log, where it can be written as JSON.
        finish: why it ends here: it is whole (``stop``), it came to a limit of tokens (``length``), the client is to
            call tools (``tools``), or something held the rest back (``filter``).
        calls: the tools to call.
        extras: what else the provider says.
    """

    text: str
    reasoning: str | None = None
    usage: Usage | None = None
    raw: Any = field(default=None, repr=False, compare=False)
    finish: Finish = "stop"
    calls: tuple[ToolCall, ...] = ()
    extras: ProviderFields | None = None
