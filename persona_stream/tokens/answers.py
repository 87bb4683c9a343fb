"""The 401 of RFC 6750: a sentence for people, and the same in ``WWW-Authenticate`` for programs."""

from __future__ import annotations

import re

from persona_stream.errors import Unauthorized

_CHALLENGE = 'Bearer realm="persona_stream"'
# RFC 6750 §3: the characters that error_description may have, which leave out the quote that would end it.
_FORBIDDEN = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def missing() -> Unauthorized:
    """Make the refusal of a request without a token: by RFC 6750 §3.1 its header has no error attribute."""
    return Unauthorized(
        "A token is missing: send it as `Authorization: Bearer <token>`", {"WWW-Authenticate": _CHALLENGE}
    )


def invalid(sentence: str) -> Unauthorized:
    """Make the refusal of a token, which says what is wrong with it and nothing that stood in it."""
    described = _FORBIDDEN.sub("?", sentence)
    return Unauthorized(
        sentence,
        {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token", error_description="{described}"'},
    )
