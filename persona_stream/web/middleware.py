"""Middleware: the work before and after every request, in one place, and the capture of requests for the log."""

import secrets
from collections.abc import Iterable
from functools import lru_cache

from flask import Flask, Request, Response, g

from persona_stream.errors import InvalidRequest
from persona_stream.logging import current_run_id
from persona_stream.runs.base import RequestInfo, ResponseSent
from persona_stream.web.auth import add_rate_limit_headers
from persona_stream.web.cors import CORSPolicy
from persona_stream.web.negotiation import protocol_of
from persona_stream.web.responses import current_request
from persona_stream.web.services import Services

_MAX_HEADER_CHARACTERS = 4096
_SECRET_WORDS = ("authorization", "cookie", "key", "password", "secret", "token")


def register_middleware(app: Flask, services: Services, private_path: str) -> None:
    """Register the hooks of every request; pages of other origins may read nothing below ``private_path``."""
    cors = CORSPolicy(services.settings.cors_origins, private_path)

    @app.before_request
    def before_request() -> Response | None:
        # A connection serves several requests in one context: the log lines of this one have no run yet.
        current_run_id.set("")
        request = current_request()
        _require_utf8_query(request)
        return cors.preflight(request)

    @app.after_request
    def after_request(response: Response) -> Response:
        request = current_request()
        if header := protocol_of(request).request_id_header:
            response.headers[header] = f"req_{secrets.token_hex(12)}"
        cors.add_headers(request, response)
        add_rate_limit_headers(response)
        _record_response(request, response, services)  # last, when the headers are complete
        return response


def _require_utf8_query(request: Request) -> None:
    """Raise InvalidRequest for a query string in another encoding, which werkzeug fails on later."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8: percent-encode it") from None


def _record_response(request: Request, response: Response, services: Services) -> None:
    run_id = response.headers.get("X-Run-Id")
    if run_id is not None and request.method == "POST":
        sent = ResponseSent(response.status_code, redact_headers(response.headers.items()))
        services.runs.notify(run_id, sent)


def request_info(request: Request) -> RequestInfo:
    """Return the details of a request that the log keeps with its run."""
    return RequestInfo(
        endpoint=request.path,
        protocol=protocol_of(request).name,
        method=request.method,
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", "")[:_MAX_HEADER_CHARACTERS],
        headers=redact_headers(request.headers.items()),
        body=g.pop("body", b""),
    )


def redact_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return headers with the values of credentials replaced."""
    return tuple((name, "***" if _is_secret(name) else value[:_MAX_HEADER_CHARACTERS]) for name, value in headers)


@lru_cache(1024)  # nearly all requests have the same names; bounded, since clients choose them
def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)
