"""Where the server is, and the token that opens it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit


class BadAddressError(ValueError):
    """Say that this is not the address of a server."""


class BadTokenError(ValueError):
    """Say that this cannot be a token."""


@dataclass(frozen=True, slots=True)
class Server:
    """Hold an address like ``https://example.org/below/here``, and a bearer token.

    Raises:
        BadAddressError: it is not an http or https address with a host.
        BadTokenError: the token is empty, or has characters that no header can carry.
    """

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not self.url.isprintable() or " " in self.url or parts.query or parts.fragment:
            raise BadAddressError(self.url)
        # Tokens are pasted, and bring a newline with them.
        object.__setattr__(self, "token", self.token.strip())
        if not self.token or not all("!" <= character <= "~" for character in self.token):
            raise BadTokenError

    def at(self, path: str) -> str:
        """Give the address of a path on this server."""
        return self.url.rstrip("/") + path
