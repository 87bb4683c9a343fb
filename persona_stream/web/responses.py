"""JSON responses, responses without werkzeug's header processing, and helpers for the request context."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any
from urllib.parse import quote

from flask import Request, Response, request
from flask.ctx import AppContext, RequestContext
from werkzeug.datastructures import Headers

from persona_stream.concurrency import compute_in_threadpool
from persona_stream.protocols.base import dump_json, dump_long_json
from persona_stream.web.rate_limit import RateLimitStatus

MAX_INLINE_CHARACTERS = 20_000
"""Length from which a text is chunked and encoded in a native thread, so that other streams do not wait for it."""


def json_response(body: object, status: int = 200, *, characters: int = 0) -> Response:
    """Return a response with a JSON body, which has about so many characters if they are many."""
    is_long = characters > MAX_INLINE_CHARACTERS
    encoded = compute_in_threadpool(characters, dump_long_json, body) if is_long else dump_json(body)
    return Response(encoded, status, content_type="application/json")


def page_response(body: str | bytes, content_type: str, policy: str) -> Response:
    """Return a file of a page under a content security policy, or 304 if the browser has its current version."""
    response = revalidated(Response(body, content_type=content_type))
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def revalidated(response: Response) -> Response:
    """Return the response, or 304 if the client has the current version."""
    response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


class PreparedResponse(Response):
    """Response whose headers are sent as they are.

    werkzeug would copy them, rewrite ``Location`` and count the body again: a tenth of the time of a short response.
    """

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        """Return the headers of the response."""
        return self.headers if self.status_code == 200 else super().get_wsgi_headers(environ)


class HttpRequest(Request):
    """Request as views receive it, from Flask or from the fast lane.

    Attributes:
        received_body: the body, if the server has received it already and it was not read yet.
        body: the body as it was read, until the request log has taken it.
        rate_limit_status: state of the caller's window, if the caller was counted.
    """

    received_body: bytes | None = None
    body: bytes = b""
    rate_limit_status: RateLimitStatus | None = None

    def take_body(self) -> bytes:
        """Return the body, and release it: a request lives as long as its response."""
        body = self.body
        self.body = b""
        return body


_fast_request: ContextVar[HttpRequest] = ContextVar("fast_request")


@contextmanager
def serving(served: HttpRequest) -> Iterator[None]:
    """Make a request the current one during the block, without Flask."""
    token = _fast_request.set(served)
    try:
        yield
    finally:
        _fast_request.reset(token)


def current_request() -> HttpRequest:
    """Return the request of this greenlet.

    With Flask it is the request itself rather than the proxy, which looks it up again at every access.
    """
    served = _fast_request.get(None)
    if served is None:
        served = request._get_current_object()  # type: ignore[attr-defined] # documented by werkzeug
    return served


def url_prefix(request: Request) -> str:
    """Return the path below which clients reach the application, such as ``/ai``; usually empty.

    A proxy in ``trusted_proxies`` names it in ``X-Forwarded-Prefix``, and a WSGI application around this one in
    ``SCRIPT_NAME``.
    """
    root = request.script_root
    return quote(root, safe="/~:@!$&()*+,;=") if root else ""


def detached_context() -> Context:
    """Return a copy of the context variables without the request, for work that outlives it.

    With it, each run would keep its whole request alive: a tenth of the memory of a waiting stream.
    """
    detached = Context()
    for variable, value in copy_context().items():
        if not isinstance(value, AppContext | RequestContext | Request):
            detached.run(variable.set, value)
    return detached
