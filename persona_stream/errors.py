"""Everything that can go wrong, as one tree.

    PersonaStreamError
    ├── ConfigurationError                the program cannot start like this; its text says what to do
    │   └── SettingsError         a setting has no such name, or no such value
    ├── BackendError              the backend says, on purpose, what the client shall read
    │   └── BackendUnavailable    it has said nothing yet, and another one might do better
    └── HTTPError                 a request that is answered with a status before its first byte
        ├── InvalidRequest        400  invalid_request
        ├── Unauthorized          401  unauthorized
        ├── Forbidden             403  forbidden
        ├── NotFound              404  not_found
        │   └── ModelNotFound     404  model_not_found
        ├── NotAcceptable         406  not_acceptable
        ├── Conflict              409  conflict
        ├── Gone                  410  gone
        ├── TooLarge              413  too_large
        ├── UnsupportedMediaType  415  unsupported_media_type
        ├── RateLimited           429  rate_limited
        ├── Busy                  429  busy
        ├── Draining              503  draining
        └── Unavailable           503  unavailable

A refusal's text is ours and is shown to the client. The text of a stranger's exception never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PersonaStreamError(Exception):
    """Be the root of every error that this package raises on purpose."""


class ConfigurationError(PersonaStreamError):
    """Say why the program cannot start, in a sentence that tells what to do."""


class SettingsError(ConfigurationError):
    """Say which setting is wrong, and where one is close, the right name."""


class BackendError(PersonaStreamError):
    """Fail a query with a text that the client reads, word for word.

    Raise it from ``process_query``. Any other exception is logged, and the client reads a plain sentence
    that has nothing of it.
    """


class BackendUnavailable(BackendError):
    """Fail a query that has no part of an answer yet: who answers is out of reach, too busy, or broken.

    The same query may go better with somebody else.
    """


class HTTPError(PersonaStreamError):
    """Answer a request with its true HTTP status, before the first byte."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers: Mapping[str, str] = headers or {}
        self.field: str | None = None


class InvalidRequest(HTTPError):
    """Name the field that breaks its rule: in the sentence, and where it is one of the body's, by itself too."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Unauthorized(HTTPError):
    """Say that there is no token, or none that counts."""

    status, code = 401, "unauthorized"


class Forbidden(HTTPError):
    """Say which scope the token lacks."""

    status, code = 403, "forbidden"


class NotFound(HTTPError):
    """Say that there is no such thing for this caller."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """Say that no persona has the name of this model."""

    code = "model_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such model: GET /v1/models lists those that there are")
        self.field = "model"


class NotAcceptable(HTTPError):
    """Say that we have no form of answer that the client takes."""

    status, code = 406, "not_acceptable"


class Conflict(HTTPError):
    """Say that an idempotency key was used for something else."""

    status, code = 409, "conflict"


class Gone(HTTPError):
    """Say that the run is past its retention."""

    status, code = 410, "gone"


class TooLarge(HTTPError):
    """Say that the body is over the limit."""

    status, code = 413, "too_large"


class UnsupportedMediaType(HTTPError):
    """Say that a body is not what its endpoint reads."""

    status, code = 415, "unsupported_media_type"


class RetryableError(HTTPError):
    """A refusal that time may mend: it says after how many seconds to ask again."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, {"Retry-After": str(retry_after)})


class RateLimited(RetryableError):
    """Say how often the caller may ask."""

    status, code = 429, "rate_limited"


class Overloaded(RetryableError):
    """Say that every place is taken."""

    status, code = 429, "busy"


class ShuttingDown(RetryableError):
    """Say that this process is shutting down."""

    status, code = 503, "draining"


class Unavailable(RetryableError):
    """Say what is out of reach: a store that is needed, or who would answer."""

    status, code = 503, "unavailable"
