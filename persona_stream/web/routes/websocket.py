"""``/api/ws``: opens a WebSocket, on servers that can hand over a connection."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import cast

from flask import Blueprint, Request, Response
from wsproto.utilities import generate_accept_token

from persona_stream.auth.base import invalid_token
from persona_stream.errors import Forbidden, InvalidRequest, UpgradeNotSupported, UpgradeRequired
from persona_stream.web import auth, connections, local_access, responses
from persona_stream.web.openapi import ErrorSpec, Operation, Parameter, ResponseSpec, Tag, components
from persona_stream.web.services import Services
from persona_stream.web.websocket import RequestSender, WebSocketStream

SUBPROTOCOL = "persona-stream.v1"
_BEARER = "bearer."
_VERSION = "13"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==", re.ASCII)

WEBSOCKET = Tag("WebSocket", "Many runs on one connection.")


class UpgradeResponse(Response):
    """Response whose body is a ``WebSocketStream``, which the server takes over; werkzeug sends no body with 101."""

    def get_app_iter(self, environ: object) -> Iterable[bytes]:
        """Return the stream itself."""
        return cast("Iterable[bytes]", self.response)


_REQUIRED = UpgradeRequired("This address is for WebSockets: connect with ws:// or wss://", {"Upgrade": "websocket"})
_NOT_SUPPORTED = UpgradeNotSupported(
    "This WSGI server cannot open WebSockets: run `persona-stream serve`, or use Server-Sent Events at"
    " /api/stream_chat_smart"
)
_FOREIGN_ORIGIN = Forbidden("Pages of this origin may not connect: add it to cors_origins")


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/ws``."""
    blueprint = Blueprint("websocket", __name__)

    @blueprint.get("/api/ws")
    @blueprint.get("/api/ws", websocket=True)  # werkzeug routes upgrades separately
    @Operation(
        "Open a WebSocket",
        ResponseSpec("The connection is a WebSocket from now on; docs/api/websocket.md describes its messages."),
        "Needs a token in `Authorization`, or as the second of the offered subprotocols"
        f" `{SUBPROTOCOL}, {_BEARER}<token>`, or the ticket of a run, which may only be subscribed to.",
        tags=[WEBSOCKET],
        id="openWebSocket",
        status=101,
        security=("bearer", "ticket"),
        parameters=(
            Parameter("query", "run_id", "Run of the ticket."),
            Parameter("query", "resume", "`1` has the meaning of the header `X-Persona-Resume`.", choices=("1",)),
            components.RESUME,
        ),
        errors=(
            *components.COMMON_ERRORS,
            components.INVALID_REQUEST,
            ErrorSpec(_REQUIRED, "The request is not an upgrade to a WebSocket.", name="UpgradeRequired"),
            ErrorSpec(_NOT_SUPPORTED, "The WSGI server cannot hand over its connections."),
        ),
    )
    def open_websocket() -> Response:
        request = responses.current_request()
        arguments = _arguments(request)
        resume = arguments.get("resume")
        if resume not in (None, "1"):
            raise InvalidRequest("resume: must be 1", "resume")
        if not _is_upgrade(request):
            raise _REQUIRED
        dispatch = request.environ.get(connections.DISPATCH_KEY)
        if dispatch is None:
            raise _NOT_SUPPORTED
        if request.content_length or "Transfer-Encoding" in request.headers:
            raise InvalidRequest("An upgrade to a WebSocket must have no body")
        _check_origin(request, services)
        token, ticket = _authenticate(request, arguments, services)
        handshake = _handshake(request)
        environ = request.environ
        if resume is not None:
            environ = {**environ, "HTTP_X_PERSONA_RESUME": "1"}
        sender = RequestSender(dispatch, environ, token=token, ticket=ticket, verify=services.verifier.verify)
        stream = WebSocketStream(
            handshake,
            sender,
            registry=services.streams,
            clock=services.clock,
            max_message_bytes=services.settings.max_body_bytes,
        )
        return UpgradeResponse(stream, HTTPStatus.SWITCHING_PROTOCOLS, direct_passthrough=True)  # type: ignore[arg-type] # see above

    return blueprint


def _is_upgrade(request: Request) -> bool:
    """Return whether this connection is to become a WebSocket (RFC 6455 §4.2.1, RFC 9110 §7.8).

    A proxy that removes ``Connection``, or passes the request on in HTTP/1.0, would take the WebSocket for a response,
    and might send the requests of other clients into it (netty/netty PR 12606).
    """
    environ = request.environ
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return False
    return _has_token(environ.get("HTTP_UPGRADE", ""), "websocket") and _has_token(
        environ.get("HTTP_CONNECTION", ""), "upgrade"
    )


def _has_token(value: str, token: str) -> bool:
    """Return whether a list of tokens (RFC 9110 §5.6.1) has one; werkzeug's parser takes a tenth of the handshake."""
    return any(member.strip(" \t").lower() == token for member in value.split(","))


def _check_origin(request: Request, services: Services) -> None:
    """Raise ``Forbidden`` for a page of an origin that may not use the API: browsers let any page open WebSockets."""
    origins = services.settings.cors_origins
    if not ("*" in origins or request.headers.get("Origin") in origins or local_access.has_own_host(request)):
        raise _FOREIGN_ORIGIN


def _arguments(request: Request) -> Mapping[str, str]:
    """Return the arguments of the query string, which werkzeug parses at length even if there is none."""
    return request.args if request.query_string else {}


def _authenticate(request: Request, arguments: Mapping[str, str], services: Services) -> tuple[str, str]:
    """Return the token of a client, or its ticket.

    Raises:
        Unauthorized: Neither is valid.
        Forbidden: The token lacks the scope.
    """
    ticket = arguments.get("ticket")
    if ticket is not None:
        if not services.url_signer.verify(arguments.get("run_id", ""), ticket):
            raise invalid_token("The ticket is not valid for the run in run_id: take it from the run's events_url")
        return "", ticket
    offered = _offered_subprotocols(request)
    token = next((each.removeprefix(_BEARER) for each in offered if each.startswith(_BEARER)), None)
    if token is None:
        auth.authenticate(request, services.verifier)
        token = auth.token_of(request)
    else:
        auth.require_scope(services.verifier.verify(token), "chat")
    return token, ""


def _handshake(request: Request) -> bytes:
    """Return the response that opens the connection.

    Raises:
        InvalidRequest: The handshake is malformed.
    """
    if request.headers.get("Sec-WebSocket-Version") != _VERSION:
        raise InvalidRequest(f"Sec-WebSocket-Version: must be {_VERSION}", "Sec-WebSocket-Version")
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Sec-WebSocket-Key: must be 16 bytes in base64", "Sec-WebSocket-Key")
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += b"Sec-WebSocket-Accept: %b\r\n" % generate_accept_token(key.encode())
    if SUBPROTOCOL in _offered_subprotocols(request):
        head += b"Sec-WebSocket-Protocol: %b\r\n" % SUBPROTOCOL.encode()
    return head + b"\r\n"


def _offered_subprotocols(request: Request) -> list[str]:
    return [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
