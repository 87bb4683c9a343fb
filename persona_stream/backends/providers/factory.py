"""Factory of provider backends, and validation of their settings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Required, TypedDict
from urllib.parse import urlsplit

import requests

from persona_stream.backends.base import Backend
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.client import ProviderClient
from persona_stream.backends.providers.retry import MAX_ATTEMPTS, CircuitBreaker, RetryBudget
from persona_stream.backends.providers.transport import HttpTransport, SessionPool, session_factory
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.errors import ConfigurationError


class ProviderOptions(TypedDict, total=False):
    """Options of a provider backend that do not depend on the API format. The first three are required.

    Attributes:
        base_url: the provider's base URL.
        api_key: the API key, which is masked in the log; a provider on the same machine may need none.
        model: the model to request.
        stream: whether to request streams.
        timeout: the deadline of a run in seconds. The executor ends a run at it; the client gives up a moment later,
            in case the run could not be killed.
        max_attempts: maximum number of attempts for a query. One, where a fallback backend can take over at once.
        idle_timeout: how long a stream may stay silent after its first content, in seconds. Keep-alive comments do not
            count as content.
        max_body_bytes: maximum size of an answer, decompressed; for a stream, of the part that is kept.
        session: the session for all requests, instead of a connection pool.
        sleep: waits between two attempts.
        coalesce: waits for more of a stream, so that several tokens are forwarded together.
        jitter: returns random numbers from 0.0 to 1.0 for the backoff.
        clock: returns the time in seconds since 1970.
    """

    base_url: Required[str | None]
    api_key: Required[str | None]
    model: Required[str | None]
    stream: bool
    timeout: float
    max_attempts: int
    idle_timeout: float
    max_body_bytes: int
    session: requests.Session | None
    sleep: Callable[[float], object]
    coalesce: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock | None


def make_provider_backend(adapter: ProviderAdapter, options: ProviderOptions) -> Backend:
    """Create a backend for a provider.

    Raises:
        ConfigurationError: an option is missing or invalid.
    """
    url = adapter.endpoint(_validate_base_url(options["base_url"], adapter))
    model = options["model"]
    if not model:
        raise ConfigurationError(f"backend {adapter.name} needs a model: set {adapter.name}_model")
    api_key = _validate_api_key(options["api_key"], adapter)
    clock = options.get("clock") or monotonic_wall_clock()
    if session := options.get("session"):
        sessions = SessionPool(session, lambda: nullcontext(session))
    else:
        create_session = session_factory(url)
        sessions = SessionPool(create_session(), create_session)
    breaker = CircuitBreaker(f"provider {adapter.name}, model {model}", clock)
    client = ProviderClient(
        adapter=adapter,
        model=model,
        stream=options.get("stream", False),
        secret=api_key,
        transport=HttpTransport(url, adapter.headers(api_key), sessions, clock),
        breaker=breaker,
        budget=RetryBudget(),
        max_attempts=options.get("max_attempts", MAX_ATTEMPTS),
        timeout=options.get("timeout", 150.0),
        idle_timeout=options.get("idle_timeout", 60.0),
        max_body_bytes=options.get("max_body_bytes", 32 * 2**20),
        sleep=options.get("sleep", time.sleep),
        coalesce=options.get("coalesce", time.sleep),
        jitter=options.get("jitter", random.random),
        clock=clock,
    )
    return Backend(
        adapter.name, client.complete, capabilities=adapter.capabilities, retry_after=lambda: breaker.open_for
    )


def _validate_base_url(base_url: str | None, adapter: ProviderAdapter) -> str:
    """Return the base URL without a trailing slash."""
    name = adapter.name
    example = adapter.example_url
    if not base_url:
        raise ConfigurationError(f"backend {name} needs the provider's URL: set {name}_base_url, e.g. to {example}")
    try:
        parts = urlsplit(base_url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(f"{name}_base_url is not a valid URL: write it like {example}")
    if parts.username is not None or parts.query or parts.fragment:
        # They would appear in every log line and error with the URL, and a user name would replace the API key.
        raise ConfigurationError(
            f"{name}_base_url must not contain a user name, a query or a fragment: remove everything before @ and "
            "after ? or #"
        )
    return base_url.rstrip("/")


def _validate_api_key(api_key: str | None, adapter: ProviderAdapter) -> str:
    """Return the API key without surrounding white space; an empty string if there is none."""
    key = (api_key or "").strip()
    # The HTTP library would reject it at the first request only, in a message that shows the key.
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(
            f"{adapter.name}_api_key has invalid characters: copy it again, without spaces or quotes"
        )
    return key
