"""What clients of the native endpoints send."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from flask import Request
from msgspec import Meta, Struct
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from persona_stream.chunking import registry as chunking
from persona_stream.core.query import Locale
from persona_stream.errors import InvalidRequest
from persona_stream.web import bodies

LONGEST_TEXT = 32_768
_LONGEST_LANGUAGES = 256  # characters: nobody speaks more

# Not `$` at the end: in Python it lets a newline pass.
ConversationId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}(?![\s\S])")]


class ChatRequest(Struct, frozen=True):
    """One question to a persona."""

    username: Annotated[str, Meta(min_length=1, max_length=64, description="Whose persona answers.")]
    message: Annotated[str, Meta(min_length=1, description="What is asked: 1 to 32,768 characters after trimming.")]
    prompt: Annotated[str, Meta(max_length=LONGEST_TEXT, description="An additional prompt.")] | None = None
    prompt_mode: Literal["append", "replace"] | None = None
    conversation_id: ConversationId | None = None
    chunking: Annotated[str, Meta(description="characters, words or sentences; else the endpoint's own.")] | None = None
    locale: Locale | None = None
    reasoning: bool | None = None


_decoder = msgspec.json.Decoder(ChatRequest)


def read_chat_request(request: Request) -> ChatRequest:
    """Read and check the body of a chat request.

    Raises:
        InvalidRequest: it is not a JSON object, or a field breaks its rule; the message names the field.
    """
    chat = bodies.read(request, _decoder)
    message = chat.message.strip()
    if not message:
        raise InvalidRequest("message: is blank", "message")
    if len(message) > LONGEST_TEXT:
        raise InvalidRequest(f"message: has {len(message)} characters, and may have {LONGEST_TEXT}", "message")
    if chat.chunking is not None and chat.chunking not in chunking.names():
        raise InvalidRequest(f"chunking: is none of {', '.join(chunking.names())}", "chunking")
    return msgspec.structs.replace(chat, message=message)


def locale_of(request: Request, wish: Locale | None = None) -> Locale:
    """Choose the reader's language: what was wished for, else what the browser speaks, else Chinese."""
    if wish is not None:
        return wish
    return _spoken(request.headers.get("Accept-Language", "")[:_LONGEST_LANGUAGES])


@lru_cache(256)  # there are few of them, and taking one apart takes its time
def _spoken(accepted: str) -> Locale:
    languages = parse_accept_header(accepted, LanguageAccept)
    return "en" if languages.best_match(("zh", "en"), default="zh") == "en" else "zh"
