"""Log lines of a request belong to the run that it is about, and to no run of the connection's request before it.

The query of an address is UTF-8, encoded or not: whoever reads it later on need not think of anything else.

What HTTP knows of a request that asks for a run, for whoever keeps a log of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from flask import Flask, Request, Response, g, request

from persona_stream.errors import InvalidRequest
from persona_stream.logging import current_run_id
from persona_stream.runs.observer import ResponseSent
from persona_stream.runs.request import RequestInfo
from persona_stream.web.negotiation import protocol_of
from persona_stream.web.services import Services


def reset_log_context(app: Flask) -> None:
    """Have each request begin without a run."""

    @app.before_request
    def forget() -> None:
        current_run_id.set("")


def require_utf8_query(app: Flask) -> None:
    """Refuse requests whose query has bytes of another encoding, on which werkzeug stumbles."""

    @app.before_request
    def check() -> None:
        try:
            request.query_string.decode()
        except UnicodeDecodeError:
            raise InvalidRequest("The query of the address is not UTF-8: encode it with % and two digits") from None


_LONGEST = 4096  # characters of a header: nobody reads on
# Whatever opens something: here, at a proxy before us, or elsewhere.
_SECRET = ("authorization", "cookie", "key", "password", "secret", "token")


def request_info(request: Request) -> RequestInfo:
    """Say what HTTP knows of a request that asks for a run."""
    return RequestInfo(
        endpoint=request.path,
        dialect=protocol_of(request),
        method=request.method,
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", "")[:_LONGEST],
        headers=redact_headers(request.headers.items()),
        body=g.pop("body", b""),
    )


def record_response(app: Flask, desk: Services) -> None:
    """Note with each run how the request for it was answered."""

    @app.after_request
    def note(response: Response) -> Response:
        run_id = response.headers.get("X-Run-Id")
        if run_id is not None and request.method == "POST":
            desk.runs.notify(run_id, ResponseSent(response.status_code, redact_headers(response.headers.items())))
        return response


def redact_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Give headers without what opens anything: of those only that they were there."""
    return tuple((name, "***" if _opens(name) else value[:_LONGEST]) for name, value in headers)


@lru_cache(1024)  # every request has the same few; strangers may send as many others as they like
def _opens(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in _SECRET)
