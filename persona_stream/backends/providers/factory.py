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

from persona_stream.backends.base import Ability, Backend
from persona_stream.backends.providers.base import Dialect
from persona_stream.backends.providers.client import Provider
from persona_stream.backends.providers.retry import TRIES, Breaker, Budget
from persona_stream.backends.providers.transport import Sessions, Wire, session_for, surroundings_of
from persona_stream.core.clock import Clock, wall_clock
from persona_stream.errors import StartError


class Means(TypedDict, total=False):
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


def make(
    dialect: Dialect,
    *,
    model: str,
    url: str,
    headers: Mapping[str, str],
    secret: str,
    stream: bool,
    abilities: Iterable[Ability],
    means: Means,
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
    clock = means.get("clock") or wall_clock()
    session = means.get("session")
    surroundings = surroundings_of(url)
    sessions = (
        Sessions(session_for(surroundings), lambda: session_for(surroundings))
        if session is None
        else Sessions(session, lambda: nullcontext(session))
    )
    breaker = Breaker(f"{dialect.name}, model {model},", clock)
    provider = Provider(
        dialect=dialect,
        model=model,
        stream=stream,
        secret=secret,
        timeout=means.get("timeout", 150.0),
        tries=means.get("tries", TRIES),
        idle=means.get("idle", 60.0),
        max_body_bytes=means.get("max_body_bytes", 32 * 2**20),
        wire=Wire(url, headers, sessions, clock),
        breaker=breaker,
        budget=Budget(),
        sleep=means.get("sleep", time.sleep),
        rest=means.get("rest", time.sleep),
        jitter=means.get("jitter", random.random),
        clock=clock,
    )
    return Backend(dialect.name, provider.ask, abilities=frozenset(abilities), rest=lambda: breaker.rest)


def address(base_url: str | None, name: str, example: str) -> str:
    """Check the address of a provider, and give it without a slash at its end.

    Args:
        base_url: what is set.
        name: the backend that it is set for.
        example: one that would do.

    Raises:
        StartError: there is none, or none that can be reached.
    """
    if not base_url:
        raise StartError(
            f"the {name} backend needs the address of its provider: set {name}_base_url, for instance to {example}"
        )
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartError(f"{name}_base_url is no address: write it like {example}")
    if parts.username is not None or parts.query or parts.fragment:
        # They would be in every log line and error that names the address, and a name in it replaces the key.
        raise StartError(f"{name}_base_url has more than an address: leave out what is before @ and from ? or # on")
    return base_url.rstrip("/")


def key(api_key: str | None, name: str) -> str:
    """Check a key, and give it without the white space around it; empty, where there is none.

    Raises:
        StartError: it can be none.
    """
    stripped = (api_key or "").strip()
    # Caught by the HTTP library only at the first request, in a message that shows the key.
    if not (stripped.isascii() and stripped.isprintable() and " " not in stripped):
        raise StartError(f"{name}_api_key has characters that no key has: copy it again, without spaces or quotes")
    return stripped


def model(model: str | None, name: str) -> str:
    """Give the model.

    Raises:
        StartError: there is none.
    """
    if not model:
        raise StartError(f"the {name} backend needs to know its model: set {name}_model")
    return model
