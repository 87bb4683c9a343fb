"""Errors of model providers, and the masking of keys in them.

A ``ProviderError`` ends one attempt. Its ``kind`` selects the text for the client (``texts.toml``); its ``detail`` may
quote the provider, and goes to the log only.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

ErrorKind = Literal[
    "credentials", "credit", "model", "too_long", "filtered", "refused", "busy", "failed", "timeout", "unreachable",
    "broken_off", "unreadable", "empty", "too_large",
]  # fmt: skip

MAX_QUOTED_CHARS = 500
MIN_MASKED_CHARS = 8  # a shorter prefix of an API key only shows which provider issued it


@dataclass(frozen=True, slots=True)
class ProviderErrorObject:
    """Error object of a response or a stream.

    Attributes:
        status: the HTTP status that it stands for, where the response itself has a status of success.
        kind: the meaning of its code, where that is more specific than the status.
        message: its text; may be empty.
    """

    status: int = 500
    kind: ErrorKind | None = None
    message: str = ""


@dataclass(eq=False)
class ProviderError(Exception):
    """Failure of one attempt to get an answer from a provider.

    Attributes:
        kind: selects the text for the client.
        detail: the text for the log; it may quote the provider.
        retryable: whether another attempt may succeed.
        fallback_allowed: whether another provider may succeed: this one was unreachable, busy, or failed.
        is_outage: whether the circuit breaker counts the error as a failure of the provider.
        retry_after: delay in seconds that the provider requires before another attempt, or ``None``.
    """

    kind: ErrorKind
    detail: str
    _: KW_ONLY
    retryable: bool = False
    fallback_allowed: bool = False
    is_outage: bool = False
    retry_after: float | None = None

    def after_partial_output(self) -> "ProviderError":
        """Return the error for an answer that was partly sent, which no retry or fallback can start again."""
        return ProviderError("broken_off" if self.kind == "unreachable" else self.kind, self.detail)


def quote(body: bytes) -> str:
    """Return the beginning of an untrusted body, on one line and without terminal escapes."""
    return repr(body[: MAX_QUOTED_CHARS * 4].decode(errors="replace")[:MAX_QUOTED_CHARS])


def mask(text: str, secret: str) -> str:
    """Replace a secret in a text, also a prefix of it at which a quotation was cut."""
    if not secret:
        return text
    masked = text.replace(secret, "***")
    for size in range(len(secret) - 1, MIN_MASKED_CHARS - 1, -1):
        masked = masked.replace(secret[:size], "***")
    return masked
