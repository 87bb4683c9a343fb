"""Which run a request may join instead of starting one."""

from __future__ import annotations

import hashlib
import re

import msgspec
from flask import Request

from persona_stream.errors import InvalidRequest
from persona_stream.journals.base import Claim

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def claim(request: Request, asked: msgspec.Struct) -> Claim:
    """Say which run this request may join.

    SDKs try again by themselves after what looks like a failure, and then send no key but the number of the attempt:
    such a request joins the newest run of the same body, and any other begins one that its retries can join.

    Args:
        request: where to, and with what headers.
        asked: what it asks for, decoded.

    Raises:
        InvalidRequest: its key is none.
    """
    fingerprint = hashlib.sha256(msgspec.json.encode((request.path, asked))).hexdigest()
    key = request.headers.get("Idempotency-Key")
    if key is None:
        attempt = request.headers.get("X-Stainless-Retry-Count", "")
        # No key of a client's has a space in it.
        return Claim(f"body {fingerprint}", fingerprint, joins=attempt.isdecimal() and int(attempt[:9]) > 0)
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key: must be 1 to 255 visible ASCII characters", "Idempotency-Key")
    return Claim(key, fingerprint)
