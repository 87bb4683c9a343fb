"""What is asked, of whom, and through which endpoint.

Where the server is, and the token that opens it.

Read the JSON objects of the server. They are a stranger's: every field may be missing, or of another type.

How an attempt to get an answer ends, and the exit code that says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Literal
from urllib.parse import urlsplit

EndpointName = Literal["smart", "advanced", "basic", "chat"]

PATHS: dict[EndpointName, str] = {
    "smart": "/api/stream_chat_smart",
    "advanced": "/api/stream_chat_advanced",
    "basic": "/api/stream_chat",
    "chat": "/api/chat",
}


class NotTextError(ValueError):
    """Name the field that is not Unicode: the bytes that were given are not UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Hold one question. What is ``None`` is left out, and the server's own default holds.

    Raises:
        NotTextError: a text holds lone surrogates, which is how Python shows bytes that are not UTF-8.
    """

    username: str
    message: str
    endpoint: EndpointName = "smart"
    prompt: str | None = None
    prompt_mode: Literal["append", "replace"] | None = None
    conversation_id: str | None = None
    chunking: Literal["characters", "words", "sentences"] | None = None
    locale: Literal["zh", "en"] = "zh"
    reasoning: bool = False

    def __post_init__(self) -> None:
        for name in ("username", "message", "prompt", "conversation_id"):
            value = getattr(self, name)
            if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
                raise NotTextError(name)

    @property
    def streams(self) -> bool:
        """Tell whether the answer comes as events, not as one object at the end."""
        return self.endpoint != "chat"

    @property
    def path(self) -> str:
        """Give the path of the endpoint."""
        return PATHS[self.endpoint]

    def fields(self) -> dict[str, object]:
        """Give the JSON object of the request."""
        optional = {
            "prompt": self.prompt,
            "prompt_mode": self.prompt_mode,
            "conversation_id": self.conversation_id,
            "chunking": self.chunking,
            "reasoning": self.reasoning or None,
        }
        return {
            "username": self.username,
            "message": self.message,
            "locale": self.locale,
            **{name: value for name, value in optional.items() if value is not None},
        }


class BadAddressError(ValueError):
    """Say that this is not the address of a server."""


class BadTokenError(ValueError):
    """Say that this cannot be a token."""


@dataclass(frozen=True, slots=True)
class Server:
    """Hold an address like ``https://example.org/below/here``, and a bearer token.

    Raises:
        BadAddressError: it is not an http or https address with a host.
        BadTokenError: the token is empty, or has characters that no header can carry.
    """

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not self.url.isprintable() or " " in self.url or parts.query or parts.fragment:
            raise BadAddressError(self.url)
        # Tokens are pasted, and bring a newline with them.
        object.__setattr__(self, "token", self.token.strip())
        if not self.token or not all("!" <= character <= "~" for character in self.token):
            raise BadTokenError

    def at(self, path: str) -> str:
        """Give the address of a path on this server."""
        return self.url.rstrip("/") + path


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold one event of the stream, or the object that stands for all of it.

    Attributes:
        text: the piece of the answer, and ``reasoning`` the piece of the thoughts; empty when there is none.
        progress: percent. ``elapsed``, ``eta``, ``deadline`` and ``total_time`` are seconds. ``None``: not said.
        is_last: whether this is the terminal event.
        payload: the object itself.
    """

    payload: Mapping[str, object]
    status: str = ""
    text: str = ""
    reasoning: str = ""
    message: str = ""
    code: str = ""
    error: str = ""
    run_id: str = ""
    conversation_id: str = ""
    is_last: bool = False
    progress: float | None = None
    elapsed: float | None = None
    eta: float | None = None
    deadline: float | None = None
    place: float | None = None
    total_time: float | None = None

    def without(self, characters: int) -> Reply:
        """Give the same without the beginning of its text, which the reader has already."""
        return replace(self, text=self.text[characters:])


def parse_json(data: str | bytes) -> Reply | None:
    """Read a JSON object; ``None`` when it is none."""
    try:
        payload = json.loads(data, parse_constant=lambda name: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return parse_reply(payload) if isinstance(payload, dict) else None


def _finite(number: str) -> float | None:
    # What Python would write back as "Infinity" is no JSON; and "NaN", a constant to Python, never was.
    value = float(number)
    return value if math.isfinite(value) else None


def parse_reply(payload: Mapping[str, object]) -> Reply:
    """Read an object."""

    def text(name: str) -> str:
        value = payload.get(name)
        return value if isinstance(value, str) else ""

    def number(name: str) -> float | None:
        value = payload.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # In this order: NaN is not greater than anything, and an integer may be too large for a float.
        return float(value) if 0 <= value < 1e9 else None

    return Reply(
        payload,
        status=text("status"),
        text=text("data"),
        reasoning=text("reasoning"),
        message=text("message"),
        code=text("code"),
        error=text("error"),
        run_id=text("run_id"),
        conversation_id=text("conversation_id"),
        is_last=payload.get("is_complete") is True,
        progress=number("progress"),
        elapsed=number("elapsed_time"),
        eta=number("eta"),
        deadline=number("deadline"),
        place=number("position"),
        total_time=number("total_time"),
    )


class ExitCode(IntEnum):
    """Name each ending. The value is the exit code, for scripts to use."""

    ANSWERED = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    REFUSED = 4
    CANCELLED = 130


def exit_code_for(status: str, code: str) -> ExitCode:
    """Tell the outcome of a run from the status and the code of its terminal event."""
    if status == "complete":
        return ExitCode.ANSWERED
    if "timeout" in (status, code):
        return ExitCode.TIMEOUT
    if "cancelled" in (status, code):
        return ExitCode.CANCELLED
    return ExitCode.FAILED
