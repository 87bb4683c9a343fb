"""Signed run URLs: ``EventSource`` cannot send headers, so the URL itself carries the permission to read one run."""

import base64
import hmac
from collections.abc import Callable
from functools import cached_property


class RunURLSigner:
    """Signer and verifier of run ids.

    The key is derived from the server's secret for this use alone, so that no ticket is ever the signature of a token.
    The secret is loaded when it is first needed.
    """

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret

    def sign(self, run_id: str) -> str:
        """Return the ticket of a run: 43 characters of ``A-Z a-z 0-9 - _``."""
        signature = hmac.digest(self._key, run_id.encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    def events_url(self, run_id: str, prefix: str = "") -> str:
        """Return the URL of a run's events, with a ticket for clients that cannot send headers.

        ``prefix`` is the path below which clients reach the application.
        """
        return f"{prefix}/api/runs/{run_id}/events?ticket={self.sign(run_id)}"

    def verify(self, run_id: str, ticket: str) -> bool:
        """Return whether a ticket belongs to a run, in constant time."""
        return hmac.compare_digest(self.sign(run_id).encode(), ticket.encode("utf-8", "surrogatepass"))

    @cached_property
    def _key(self) -> bytes:
        return hmac.digest(self._secret().encode(), b"persona_stream ticket of a run, 1", "sha256")
