"""What a run takes along of the request that started it."""

from __future__ import annotations

from contextvars import ContextVar

from flask import Flask
from flask.ctx import AppContext, RequestContext

from persona_stream.web.responses import detached_context

_around: ContextVar[str] = ContextVar("around")


def test_what_was_set_around_a_request_lasts_and_the_request_does_not() -> None:
    """Somebody's trace goes on in process_query; but no run keeps a request's headers and body in memory."""
    _around.set("a trace")
    with Flask("x").test_request_context("/"):
        lasting = detached_context()
    assert lasting[_around] == "a trace"
    assert not [value for value in lasting.values() if isinstance(value, AppContext | RequestContext)]
