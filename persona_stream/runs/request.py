"""Request for a run: the query, the backend, the delivery defaults, and the HTTP request behind it."""

from __future__ import annotations

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.journals.base import IdempotencyKey


class RequestInfo(Struct, frozen=True):
    """HTTP request that starts a run, for the request log. Empty for a run without one.

    Attributes:
        endpoint: the path, without the query string.
        protocol: name of the protocol.
        method: the HTTP method.
        address: the client's address.
        user_agent: the client's user agent.
        headers: the headers, without credentials.
        body: the body as it was sent.
    """

    endpoint: str = ""
    protocol: str = "native"
    method: str = ""
    address: str = ""
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class RunRequest(Struct, frozen=True):
    """Request for a run.

    Attributes:
        query: the question; ``query.principal`` becomes the owner of the run.
        backend: the backend that answers.
        style: the default style of streams.
        chunking: the default chunker of streams.
        reasoning: whether streams include the reasoning by default.
        grace: the seconds that the run continues without a subscriber; ``None`` for ever.
        idempotency_key: the idempotency key, if the client sent one.
        request_info: the HTTP request.
        continues_conversation: whether the server loads the conversation's history for the query.
    """

    query: Query
    backend: Backend
    style: str
    chunking: str
    reasoning: bool = False
    grace: float | None = None
    idempotency_key: IdempotencyKey | None = None
    request_info: RequestInfo = RequestInfo()
    continues_conversation: bool = False
