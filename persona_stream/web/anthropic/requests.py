"""What Anthropic's clients send."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from flask import Request
from msgspec import Meta, Struct

from persona_stream.core.query import Parameters
from persona_stream.errors import InvalidRequest
from persona_stream.web import bodies
from persona_stream.web.anthropic.messages import InputMessage, MessageBlock
from persona_stream.web.anthropic.tools import MessageTool, MessageToolChoice


class CountTokensRequest(Struct, frozen=True, kw_only=True):
    """A conversation whose tokens shall be counted. What is not here is ignored, and ``null`` means left out."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[InputMessage], Meta(min_length=1)]
    system: str | list[MessageBlock] | None = None
    tools: list[MessageTool] | None = None
    tool_choice: MessageToolChoice | None = None
    mcp_servers: list[Any] | None = None


class RequestMetadata(Struct, frozen=True):
    """Who asks."""

    user_id: str | None = None


class OutputFormat(Struct, frozen=True):
    """What the answer must be: JSON of a schema."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct, frozen=True):
    """How the answer shall be."""

    format: OutputFormat | None = None


class MessagesRequest(CountTokensRequest, frozen=True, kw_only=True):
    """A conversation to go on with. What is not here is ignored, and ``null`` means left out."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    metadata: RequestMetadata | None = None
    output_config: OutputConfig | None = None

    @property
    def parameters(self) -> Parameters:
        """How to sample, by the names that OpenAI has for it: what was sent."""
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "max_tokens": self.max_tokens,
            "stop": tuple(self.stop_sequences) if self.stop_sequences else None,
            "user": self.metadata.user_id if self.metadata else None,
            "parallel_tool_calls": False if self.tool_choice and self.tool_choice.disable_parallel_tool_use else None,
            "response_format": self._response_format(),
        }
        return MappingProxyType({name: value for name, value in given.items() if value is not None})

    def _response_format(self) -> dict[str, Any] | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        schema = {"name": "answer", "schema": self.output_config.format.schema, "strict": True}
        return {"type": "json_schema", "json_schema": schema}


_messages = msgspec.json.Decoder(MessagesRequest)
_count_tokens = msgspec.json.Decoder(CountTokensRequest)


def read_messages_request(request: Request) -> MessagesRequest:
    """Read and check the body of a request for a message.

    Raises:
        InvalidRequest: it is not a JSON object, a field breaks its rule, or asks for what no backend here can do; the
            message names the field.
    """
    asked = bodies.read(request, _messages)
    _check(asked)
    return asked


def read_count_tokens_request(request: Request) -> CountTokensRequest:
    """Read and check the body of a request to count tokens. Raises as ``read_messages_request``."""
    asked = bodies.read(request, _count_tokens)
    _check(asked)
    return asked


def _check(asked: CountTokensRequest) -> None:
    # What no backend here can do is refused, and not done without: the client would wait for it in vain.
    if asked.mcp_servers:
        raise InvalidRequest("mcp_servers: this server cannot do that: leave it out", "mcp_servers")
