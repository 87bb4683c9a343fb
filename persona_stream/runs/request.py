"""What is to be run, for whom, on what terms, and where the request came from."""

from __future__ import annotations

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query
from persona_stream.journals.base import IdempotencyKey


class RequestInfo(Struct, frozen=True):
    """Say what HTTP knows of a request. All is empty for a run that no request asked for.

    Attributes:
        endpoint: its address, without the query.
        dialect: ``native``, ``openai`` or ``anthropic``.
        method: as in HTTP.
        address: where it came from.
        user_agent: what the client calls itself.
        headers: the headers, without those that open anything.
        body: as it was sent.
    """

    endpoint: str = ""
    dialect: str = "native"
    method: str = ""
    address: str = ""
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class RunRequest(Struct, frozen=True):
    """Say what is to be run, and on what terms.

    Attributes:
        query: the question; ``query.principal`` will own the run.
        backend: who answers it.
        style, chunking, reasoning: how it is read, unless a reader wishes otherwise.
        grace: seconds that it lives on after its last reader left; ``None`` for ever.
        claim: the idempotency key, if the caller gave one.
        origin: the request that asks for it.
        continues: whether what was said before in the conversation belongs to the question.
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
