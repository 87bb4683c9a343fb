"""The native protocol, as described in docs/STREAMING.md and docs/API.md."""

from __future__ import annotations

import re
from collections.abc import Sequence

from persona_stream.core.facts import Entry, run_terms
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, WireProtocol
from persona_stream.protocols.native.encoder import NativeEncoder, error_body
from persona_stream.protocols.native.responses import ChatAnswer, chat_response
from persona_stream.protocols.native.schemas import ErrorFrame, TerminalFrame

# The streaming endpoints, also with an unknown suffix: their clients parse events only.
_STREAM_PATH = re.compile(r"/api/stream_chat.*|/api/runs/.*/events", re.DOTALL)


class NativeProtocol(WireProtocol):
    """The product's own protocol; it answers every path that no other protocol claims."""

    name = "native"
    path_prefixes = ("/",)
    run_endpoints = ("/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart", "/api/chat")
    has_styles = True

    def encoder(self, entries: Sequence[Entry], options: EncoderOptions) -> NativeEncoder:
        """Return a new encoder for one subscriber."""
        return NativeEncoder(run_terms(entries).run_id, options.events_url, options.style, options.locale)

    def response(self, entries: Sequence[Entry]) -> tuple[int, ChatAnswer | TerminalFrame]:
        """Return the HTTP status and the body of a run that has ended."""
        return chat_response(entries)

    def error(self, error: ErrorInfo) -> ErrorFrame:
        """Return the body of an error response."""
        return error_body(error)

    def streams_error(self, path: str) -> bool:
        """Return whether the path is a streaming endpoint."""
        return _STREAM_PATH.fullmatch(path) is not None


NATIVE = NativeProtocol()
