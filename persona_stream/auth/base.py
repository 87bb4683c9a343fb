"""Contract of verifiers, the errors that they raise, and the verifier of servers without authentication.

Source of the errors: RFC 6750.
"""

import re
from typing import Protocol

from persona_stream.core.query import Principal
from persona_stream.errors import Unauthorized
from persona_stream.settings.types import UNPRINTABLE

LOCAL_USER = "local"
"""Caller of every request to a server without authentication."""

_CHALLENGE = 'Bearer realm="persona_stream"'
_FORBIDDEN_IN_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6750 §3


class Verifier(Protocol):
    """Verifier of credentials."""

    def verify(self, token: str) -> Principal:
        """Return the caller that a credential names; an empty text is a request without one. May block on a network.

        Raises:
            Unauthorized: the credential is missing or not valid; the reason is in the message and in
                ``WWW-Authenticate``.
            Unavailable: it cannot be verified now.
        """

    def expiry(self, token: str) -> float | None:
        """Return when a verified credential expires, in seconds since 1970; ``None`` for never."""


class OpenVerifier:
    """Verifier of a server without authentication, which is for programs of the same machine only."""

    def verify(self, token: str) -> Principal:
        """Return the local user, who may do everything."""
        return Principal(LOCAL_USER, frozenset({"chat", "admin"}))

    def expiry(self, token: str) -> float | None:
        """Return ``None``: access does not expire."""
        return None


def missing_token() -> Unauthorized:
    """Return the error for a request without a token, whose challenge has no error attribute (RFC 6750 §3.1)."""
    return Unauthorized("A token is required: send `Authorization: Bearer <token>`", {"WWW-Authenticate": _CHALLENGE})


def invalid_token(message: str) -> Unauthorized:
    """Return the error for a refused token, with the message in the body and in ``WWW-Authenticate``."""
    description = _FORBIDDEN_IN_DESCRIPTION.sub("?", message)
    challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{description}"'
    return Unauthorized(message, {"WWW-Authenticate": challenge})


def is_valid_subject(text: str) -> bool:
    """Return whether a text can be a subject: not blank, and without control characters, which would reach the log."""
    return bool(text.strip()) and not UNPRINTABLE.search(text)


def require_valid_subject(user: str) -> None:
    """Raise ``ValueError`` if a user cannot be a subject."""
    if not is_valid_subject(user):
        raise ValueError("the user must not be blank or contain control characters")
