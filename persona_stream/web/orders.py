"""Make an order of a chat request."""

from __future__ import annotations

import hashlib
import re

import msgspec
from flask import Request

from persona_stream import runid
from persona_stream.errors import InvalidRequest, NotFound
from persona_stream.journals import Claim
from persona_stream.query import Query
from persona_stream.runs import Order
from persona_stream.styles import Style
from persona_stream.web.bearer import caller
from persona_stream.web.desk import Desk
from persona_stream.web.requests import ChatRequest, locale_of, read_chat_request

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def order(request: Request, desk: Desk, style: Style, grace: float | None) -> Order:
    """Read and check a chat request, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = caller(request, desk.verifier)
    chat = read_chat_request(request)
    persona = None
    if desk.personas is not None:
        persona = desk.personas.get(chat.username)
        if persona is None:
            raise NotFound("User profile not found")
    query = Query(
        username=chat.username,
        message=chat.message,
        prompt=chat.prompt,
        prompt_mode=chat.prompt_mode or "append",
        conversation_id=chat.conversation_id or f"c-{runid.new(desk.clock())}",
        locale=locale_of(request, chat.locale),
        persona=persona,
        principal=principal,
    )
    return Order(
        query=query,
        style=style.name,
        chunking=chat.chunking or style.chunking,
        reasoning=bool(chat.reasoning),
        grace=grace,
        claim=_claim(request, chat),
    )


def _claim(request: Request, chat: ChatRequest) -> Claim:
    """Say which run this request may join.

    SDKs try again by themselves after what looks like a failure, and then send no key but the number of the attempt:
    such a request joins the newest run of the same body, and any other begins one that its retries can join.
    """
    fingerprint = hashlib.sha256(msgspec.json.encode((request.path, chat))).hexdigest()
    key = request.headers.get("Idempotency-Key")
    if key is None:
        attempt = request.headers.get("X-Stainless-Retry-Count", "")
        # No key of a client's has a space in it.
        return Claim(f"body {fingerprint}", fingerprint, joins=attempt.isdecimal() and int(attempt[:9]) > 0)
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters")
    return Claim(key, fingerprint)
