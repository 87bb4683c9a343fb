"""Make a backend of a dialect.

Check the settings of a provider, and say which of them cannot work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TypedDict
from urllib.parse import urlsplit

import requests

from persona_stream.backends.base import Backend, Capability
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.client import ProviderClient
from persona_stream.backends.providers.retry import MAX_ATTEMPTS, CircuitBreaker, RetryBudget
from persona_stream.backends.providers.transport import HttpTransport, SessionPool, proxy_settings_for, session_for
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.errors import ConfigurationError


class ClientOptions(TypedDict, total=False):
    """What every provider can be given besides its own settings.

    Attributes:
        timeout: the deadline of a run, in seconds. The executor ends a run at it; the backend gives up a moment later
            by itself, for where nobody does.
        tries: how often to ask where another try may help. One, where somebody else can take over at once.
        idle: how long a stream may say nothing, in seconds, once it has said something. What only keeps the connection
            alive does not count.
        max_body_bytes: how large an answer may be, as JSON and decompressed; of a stream, how much of it is kept.
        session: what to send requests with, in place of sessions with a pool of their own.
        sleep: waits between two tries.
        rest: waits for more of a stream to come, which is read together then.
        jitter: gives numbers from 0.0 to 1.0 that spread those waits.
        clock: tells the moment.
    """

    timeout: float
    tries: int
    idle: float
    max_body_bytes: int
    session: requests.Session | None
    sleep: Callable[[float], object]
    rest: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock | None


def make_provider_backend(
    dialect: ProviderAdapter,
    *,
    model: str,
    url: str,
    headers: Mapping[str, str],
    secret: str,
    stream: bool,
    abilities: Iterable[Capability],
    means: ClientOptions,
) -> Backend:
    """Make a backend.

    Args:
        dialect: what the provider speaks.
        model: the model that is asked for.
        url: the address that a query is posted to.
        headers: what every request has.
        secret: what no log shows.
        stream: whether to ask for streams.
        abilities: what it can do besides answering with text.
        means: the rest.
    """
    clock = means.get("clock") or monotonic_wall_clock()
    session = means.get("session")
    surroundings = proxy_settings_for(url)
    sessions = (
        SessionPool(session_for(surroundings), lambda: session_for(surroundings))
        if session is None
        else SessionPool(session, lambda: nullcontext(session))
    )
    breaker = CircuitBreaker(f"{dialect.name}, model {model},", clock)
    provider = ProviderClient(
        dialect=dialect,
        model=model,
        stream=stream,
        secret=secret,
        timeout=means.get("timeout", 150.0),
        tries=means.get("tries", MAX_ATTEMPTS),
        idle=means.get("idle", 60.0),
        max_body_bytes=means.get("max_body_bytes", 32 * 2**20),
        wire=HttpTransport(url, headers, sessions, clock),
        breaker=breaker,
        budget=RetryBudget(),
        sleep=means.get("sleep", time.sleep),
        rest=means.get("rest", time.sleep),
        jitter=means.get("jitter", random.random),
        clock=clock,
    )
    return Backend(
        dialect.name, provider.complete, capabilities=frozenset(abilities), retry_after=lambda: breaker.open_for
    )


def endpoint_url(base_url: str | None, name: str, example: str) -> str:
    """Check the address of a provider, and give it without a slash at its end.

    Args:
        base_url: what is set.
        name: the backend that it is set for.
        example: one that would do.

    Raises:
        ConfigurationError: there is none, or none that can be reached.
    """
    if not base_url:
        raise ConfigurationError(
            f"the {name} backend needs the address of its provider: set {name}_base_url, for instance to {example}"
        )
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{name}_base_url is no address: write it like {example}")
    if parts.username is not None or parts.query or parts.fragment:
        # They would be in every log line and error that names the address, and a name in it replaces the key.
        raise ConfigurationError(
            f"{name}_base_url has more than an address: leave out what is before @ and from ? or # on"
        )
    return base_url.rstrip("/")


def require_api_key(api_key: str | None, name: str) -> str:
    """Check a key, and give it without the white space around it; empty, where there is none.

    Raises:
        ConfigurationError: it can be none.
    """
    stripped = (api_key or "").strip()
    # Caught by the HTTP library only at the first request, in a message that shows the key.
    if not (stripped.isascii() and stripped.isprintable() and " " not in stripped):
        raise ConfigurationError(
            f"{name}_api_key has characters that no key has: copy it again, without spaces or quotes"
        )
    return stripped


def require_model(model: str | None, name: str) -> str:
    """Give the model.

    Raises:
        ConfigurationError: there is none.
    """
    if not model:
        raise ConfigurationError(f"the {name} backend needs to know its model: set {name}_model")
    return model
