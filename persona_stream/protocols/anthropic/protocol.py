"""Anthropic's Messages protocol, as the published ``anthropic`` packages speak it."""

from __future__ import annotations

from collections.abc import Sequence

from persona_stream.core.facts import Entry
from persona_stream.protocols.anthropic.encoder import AnthropicEncoder, message_response
from persona_stream.protocols.anthropic.schemas import MessageError, error_body
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, WireProtocol


class AnthropicProtocol(WireProtocol):
    """Anthropic's messages. On shared paths, all its clients send the marker header."""

    name = "anthropic"
    path_prefixes = ("/v1/messages",)
    run_endpoints = ("/v1/messages",)
    marker_header = "anthropic-version"
    request_id_header = "request-id"
    retries_conflicts = True

    def encoder(self, entries: Sequence[Entry], options: EncoderOptions) -> AnthropicEncoder:
        """Return a new encoder for one subscriber."""
        return AnthropicEncoder(entries)

    def response(self, entries: Sequence[Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        return message_response(entries)

    def error(self, error: ErrorInfo) -> MessageError:
        """Return the body of an error response."""
        return error_body(error)


ANTHROPIC = AnthropicProtocol()
