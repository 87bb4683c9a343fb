"""What process_query is given, and what it may give back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from persona_stream.persona import Persona
from persona_stream.principal import Principal

Locale = Literal["zh", "en"]
PromptMode = Literal["append", "replace"]

Parameters = Mapping[str, str | int | float | tuple[str, ...]]

Report = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold one earlier message of the conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Hold one question to a backend, and take its progress.

    Attributes:
        username: whose persona answers.
        message: what is asked, never blank: up to 32,768 characters, and up to 524,288 from ``/v1``.
        prompt: an additional prompt, or ``None``.
        prompt_mode: whether ``prompt`` is added to the persona's own prompt, or used instead of it.
        conversation_id: the conversation that this belongs to.
        locale: the language of status texts, ``zh`` or ``en``.
        persona: the profile of ``username``, when profiles are configured.
        history: earlier turns of the conversation, oldest first.
        parameters: how to sample, by the names that OpenAI has for it (``temperature``, ``max_tokens``, ``stop``,
            ...): those that the client sent. Backends may leave them be.
        principal: the caller.
    """

    username: str
    message: str
    prompt: str | None = None
    prompt_mode: PromptMode = "append"
    conversation_id: str = ""
    locale: Locale = "zh"
    persona: Persona | None = None
    history: tuple[Turn, ...] = ()
    parameters: Parameters = field(default_factory=lambda: MappingProxyType({}))
    principal: Principal = field(default_factory=lambda: Principal(subject="anonymous"))
    on_report: Report = field(default=lambda message, fraction: None, repr=False, compare=False)

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

    def system_prompt(self) -> str:
        """Give the system prompt: the persona's own, and what ``prompt`` and ``prompt_mode`` make of it."""
        own = self.persona.prompt if self.persona else ""
        if not self.prompt:
            return own
        if self.prompt_mode == "replace" or not own:
            return self.prompt
        return f"{own}\n\n{self.prompt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Count the tokens that an answer took. ``estimated`` says that we counted, not the provider."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Give more than a text back from process_query.

    Attributes:
        text: the answer.
        reasoning: what the model thought before it, if it says so. Never mixed with the text.
        usage: tokens in and out, when known.
        raw: the provider's own answer, kept for the request log.
    """

    text: str
    reasoning: str | None = None
    usage: Usage | None = None
    raw: Any = field(default=None, repr=False, compare=False)
