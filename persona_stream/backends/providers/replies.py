"""A whole reply as an answer, whatever that reply is."""

from __future__ import annotations

from persona_stream.backends.providers import Dialect
from persona_stream.backends.providers.parsing import parse
from persona_stream.backends.providers.statuses import refusal_of
from persona_stream.backends.providers.trouble import Trouble, quote
from persona_stream.backends.providers.wire import Reply
from persona_stream.core.query import Answer


def answer_in(reply: Reply, dialect: Dialect, now: float) -> Answer:
    """Give the answer in a reply.

    Args:
        reply: what the provider sent.
        dialect: what it speaks.
        now: the moment, in seconds since 1970.

    Raises:
        Trouble: there is none in it.
    """
    parsed = parse(reply.body)
    fault = dialect.fault(parsed)
    if not 200 <= reply.status < 300:
        raise refusal_of(reply, reply.status, fault, dialect, now)
    if fault is not None:
        raise refusal_of(reply, fault.status, fault, dialect, now)
    try:
        return dialect.answer(parsed)
    except Trouble as trouble:
        raise Trouble(trouble.kind, f"{trouble.detail}: {quote(reply.body)}") from None
