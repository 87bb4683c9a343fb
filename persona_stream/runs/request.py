"""Request for a run: the query, the backend, the delivery defaults, and the HTTP request behind it."""

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.journals.base import IdempotencyKey


class RequestInfo(Struct, frozen=True):
    """HTTP request that starts a run, for the request log. Empty for a run without one."""

    endpoint: str = ""  # path, without the query string
    protocol: str = "native"
    method: str = ""
    address: str = ""
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # headers, without credentials
    body: bytes = b""  # body as it was sent


class RunRequest(Struct, frozen=True):
    """Request for a run."""

    query: Query  # question; ``query.principal`` becomes the owner of the run
    backend: Backend
    style: str  # default style of streams
    chunking: str  # default chunker of streams
    reasoning: bool = False  # whether streams include the reasoning by default
    grace: float | None = None  # seconds that the run continues without a subscriber; ``None`` for ever
    idempotency_key: IdempotencyKey | None = None
    request_info: RequestInfo = RequestInfo()
    continues_conversation: bool = False  # whether the server loads the conversation's history for the query
