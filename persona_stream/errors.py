"""Exceptions of the package, as one tree.

    PersonaStreamError
    ├── ConfigurationError            the program cannot start; the text says what to do
    │   └── SettingsError             a setting has an unknown name or an invalid value
    ├── InputUnavailable              the user cannot be asked; the text is the question
    ├── BackendError                  the backend failed with a text for the client
    │   └── BackendUnavailable        it failed before any output; a fallback may succeed
    └── HTTPError                     error response before the first byte
        ├── InvalidRequest            400  invalid_request
        │   ├── ContextTooLong        400  context_length_exceeded
        │   └── UnsupportedThread     400  thread_unsupported_request
        ├── Unauthorized              401  unauthorized
        ├── Forbidden                 403  forbidden
        ├── NotFound                  404  not_found
        │   └── ModelNotFound         404  model_not_found
        ├── NotAcceptable             406  not_acceptable
        ├── Conflict                  409  conflict
        ├── Gone                      410  gone
        ├── TooLarge                  413  too_large
        ├── UnsupportedMediaType      415  unsupported_media_type
        ├── UpgradeRequired           426  upgrade_required
        ├── UpgradeNotSupported       501  not_supported
        └── RetryableError                 with Retry-After
            ├── RateLimited           429  rate_limited
            ├── Overloaded            429  busy
            ├── ShuttingDown          503  draining
            └── Unavailable           503  unavailable

Invariants: the text of an HTTPError is written by this package and sent to the client; the text of any other
exception never is, except that of a BackendError.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, get_args


class PersonaStreamError(Exception):
    """Base class of the exceptions that this package raises on purpose."""


class ConfigurationError(PersonaStreamError):
    """Fault that keeps the program from starting; the text is one sentence that names the fault and the remedy."""


class SettingsError(ConfigurationError):
    """Setting with an unknown name or an invalid value."""


BackendErrorCode = Literal[
    "backend_error", "context_length_exceeded", "rate_limited", "model_not_found", "content_filter", "overloaded"
]
"""Meanings of a backend's failure. Each protocol has its own status, type and code for them."""


class BackendError(PersonaStreamError):
    """Failure of a query with a text that is sent to the client unchanged.

    Raise it from ``process_query``. Any other exception is logged, and the client gets a generic text instead.

    Args:
        *args: the text.
        code: the meaning of the failure, so that clients raise the right exception; ``backend_error`` is any other.
        retry_after: seconds after which a client may try again.

    Raises:
        ValueError: the code is unknown, or the delay is negative or not finite.
    """

    code: BackendErrorCode = "backend_error"
    retry_after: float | None = None

    def __init__(self, *args: object, code: BackendErrorCode | None = None, retry_after: float | None = None) -> None:
        super().__init__(*args)
        if code is not None:
            if code not in get_args(BackendErrorCode):
                raise ValueError(f"code must be one of {', '.join(get_args(BackendErrorCode))}, not {code!r:.100}")
            self.code = code
        if retry_after is not None:
            if not 0 <= retry_after < math.inf:
                raise ValueError(f"retry_after must be finite and not negative, not {retry_after}")
            self.retry_after = retry_after


class BackendUnavailable(BackendError):
    """Failure before any output: the backend is unreachable, overloaded or broken.

    Raise it to hand the query to the fallback backend, if one is configured.
    """


class InputUnavailable(PersonaStreamError):
    """Question that cannot be put to the user: the protocol of the request has no form for it, or the run has ended.

    Raised by ``query.ask``; its text is the question. Unless ``process_query`` catches it, the question becomes the
    answer.
    """


class HTTPError(PersonaStreamError):
    """Error response with its true HTTP status, before the first byte of a stream.

    Attributes:
        status: HTTP status.
        code: machine-readable code in the body.
        message: text in the body.
        headers: further response headers.
        field: field of the request that the error is about, if any.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"

    def __init_subclass__(cls, status: int | None = None, code: str | None = None) -> None:
        cls.status = status or cls.status
        cls.code = code or cls.code

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers: Mapping[str, str] = headers or {}
        self.field: str | None = None


class InvalidRequest(HTTPError):
    """Invalid request; the text names the field, and so does ``field`` for fields of the body."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ContextTooLong(InvalidRequest, code="context_length_exceeded"):
    """Conversation over the length limit of this server."""


class UnsupportedThread(InvalidRequest, code="thread_unsupported_request"):
    """Request to keep the conversation here, to which Anthropic's SDKs respond by sending it whole."""


class Unauthorized(HTTPError, status=401, code="unauthorized"):
    """Missing or invalid token."""


class Forbidden(HTTPError, status=403, code="forbidden"):
    """Token without the required scope, or request from another site."""


class NotFound(HTTPError, status=404, code="not_found"):
    """Resource that does not exist, or belongs to another caller."""


class ModelNotFound(NotFound, code="model_not_found"):
    """Model name that neither a persona nor a backend has."""

    def __init__(self) -> None:
        super().__init__("Model not found; GET /v1/models lists the available models")
        self.field = "model"


class UpgradeRequired(HTTPError, status=426, code="upgrade_required"):
    """Request without an upgrade to a WebSocket."""


class UpgradeNotSupported(HTTPError, status=501, code="not_supported"):
    """Upgrade on a server that cannot hand over its connections."""


class NotAcceptable(HTTPError, status=406, code="not_acceptable"):
    """Request that accepts none of the media types of its endpoint."""


class Conflict(HTTPError, status=409, code="conflict"):
    """Idempotency key that was used with another request, or question of a run that is not open any more."""


class Gone(HTTPError, status=410, code="gone"):
    """Run past its retention period."""


class TooLarge(HTTPError, status=413, code="too_large"):
    """Request body over the size limit."""


class UnsupportedMediaType(HTTPError, status=415, code="unsupported_media_type"):
    """Request body of a media type that the endpoint does not read."""


class RetryableError(HTTPError):
    """Temporary error with a ``Retry-After`` header, in seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class RateLimited(RetryableError, status=429, code="rate_limited"):
    """Request over the rate limit of its caller."""


class Overloaded(RetryableError, status=429, code="busy"):
    """Request to a server at capacity."""


class ShuttingDown(RetryableError, status=503, code="draining"):
    """Request to a server that is shutting down."""


class Unavailable(RetryableError, status=503, code="unavailable"):
    """Outage of a required store or of the backend."""
