"""The compact form of a signed token: three segments with dots between (RFC 7515 §7.1).

PyJWT checks the signature. Its ``decode`` would prepare the key anew for every token, which takes four times as
long as the signature itself; so the segments are taken apart here, and its algorithms are given the key as prepared.
"""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

import msgspec
from jwt import get_algorithm_by_name

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Signed(NamedTuple):
    """What a token consists of. Nothing of it is to be believed before ``is_signed_with`` says so."""

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def is_signed_with(self, key: Any, algorithm: str) -> bool:
        """Tell whether this key made the signature. The algorithm is the caller's choice, not the header's."""
        return get_algorithm_by_name(algorithm).verify(self.signing_input, key, self.signature)

    def claims(self) -> dict[str, Any]:
        """Give the payload as an object. Stricter than Python's own parser: no NaN, no lone surrogates.

        Raises:
            ValueError: it is none.
        """
        return _parsed(self.payload)


def parse(token: str) -> Signed:
    """Take a token apart.

    Raises:
        ValueError: it is not of this form, or its header is not an object.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        raise ValueError("it is not three segments of base64url")
    header, payload, signature = (_decoded(segment) for segment in found.groups())
    return Signed(_parsed(header), payload, token[: found.end(2)].encode("ascii"), signature)


def _decoded(segment: str) -> bytes:
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    # The last character may have bits that no byte takes; they must be zero, so that a signature is written one way.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment.encode("ascii"):
        raise ValueError("it is not canonical base64url")
    return data


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return _OBJECT.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("it is not a JSON object") from error
