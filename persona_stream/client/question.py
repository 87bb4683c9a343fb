"""What is asked, of whom, and through which endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
