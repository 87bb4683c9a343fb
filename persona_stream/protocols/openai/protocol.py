"""OpenAI's chat protocol, as the published ``openai`` packages speak it."""

from __future__ import annotations

from collections.abc import Sequence

from persona_stream.core.facts import Entry
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, WireProtocol
from persona_stream.protocols.openai.encoder import OpenAIEncoder, completion_response
from persona_stream.protocols.openai.schemas import ErrorBody, error_body


class OpenAIProtocol(WireProtocol):
    """OpenAI's chat completions."""

    name = "openai"
    path_prefixes = ("/v1/", "/v1/chat/")
    run_endpoints = ("/v1/chat/completions",)
    request_id_header = "x-request-id"
    retries_conflicts = True

    def encoder(self, entries: Sequence[Entry], options: EncoderOptions) -> OpenAIEncoder:
        """Return a new encoder for one subscriber."""
        return OpenAIEncoder(entries, include_usage=options.include_usage, heartbeat=options.heartbeat)

    def response(self, entries: Sequence[Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        return completion_response(entries)

    def error(self, error: ErrorInfo) -> ErrorBody:
        """Return the body of an error response."""
        return error_body(error)


OPENAI = OpenAIProtocol()
