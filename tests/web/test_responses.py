"""Tests of response and context helpers."""

from __future__ import annotations

from contextvars import ContextVar

from flask import Flask
from flask.ctx import AppContext, RequestContext

from persona_stream.web.responses import detached_context

_around: ContextVar[str] = ContextVar("around")


def test_a_detached_context_keeps_variables_but_not_the_request() -> None:
    """A trace continues in process_query, but no run keeps the headers and the body of a request in memory."""
    _around.set("a trace")
    with Flask("x").test_request_context("/"):
        lasting = detached_context()
    assert lasting[_around] == "a trace"
    assert not [value for value in lasting.values() if isinstance(value, AppContext | RequestContext)]
