"""Scenarios of the published ``llama-index-llms-openai-like`` package; see concurrently.py."""

from __future__ import annotations

import concurrently
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

BASE_URL, KEY = concurrently.arguments()


def model(*, is_chat_model: bool) -> OpenAILike:
    return OpenAILike(model="ada", api_base=f"{BASE_URL}/v1", api_key=KEY, is_chat_model=is_chat_model, max_retries=0)


def whole(message: str) -> str:
    return str(model(is_chat_model=True).chat([ChatMessage(role="user", content=message)]).message.content)


def stream(message: str) -> str:
    chunks = model(is_chat_model=True).stream_chat([ChatMessage(role="user", content=message)])
    return "".join(chunk.delta or "" for chunk in chunks)


def text(message: str) -> str:
    return str(model(is_chat_model=False).complete(message).text)


def text_stream(message: str) -> str:
    return "".join(chunk.delta or "" for chunk in model(is_chat_model=False).stream_complete(message))


concurrently.run({"whole": whole, "stream": stream, "text": text, "text_stream": text_stream})
