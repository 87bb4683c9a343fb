"""A ticket lets its bearer read one run: ``EventSource`` can send no header, so the address itself must."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable


class RunURLSigner:
    """Sign run ids, and check what was signed.

    The key is derived from the secret for this use alone, so that no ticket is ever a token's signature. The secret is
    asked for when it is first needed.
    """

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret
        self._made: bytes | None = None

    def sign(self, run_id: str) -> str:
        """Give the ticket of a run: 43 characters of ``A-Z a-z 0-9 - _``."""
        signature = hmac.digest(self._key(), run_id.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    def verify(self, run_id: str, ticket: str) -> bool:
        """Tell whether this is the ticket of that run, in the same time whatever is wrong with it."""
        return hmac.compare_digest(self.sign(run_id).encode(), ticket.encode("utf-8", "surrogatepass"))

    def _key(self) -> bytes:
        if self._made is None:
            self._made = hmac.digest(self._secret().encode(), b"persona_stream ticket of a run, 1", hashlib.sha256)
        return self._made
