"""Any provider that speaks OpenAI's ``/chat/completions``, asked for whole answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from urllib.parse import urlsplit

import requests

from persona_stream.backends import Backend
from persona_stream.backends.openai.provider import Provider
from persona_stream.backends.openai.sessions import Sessions, session_for, surroundings_of
from persona_stream.backends.openai.wire import Wire
from persona_stream.clock import Clock, wall_clock
from persona_stream.errors import StartError

__all__ = ["openai_backend"]

_ENDPOINT = "/chat/completions"


def openai_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    timeout: float = 150.0,
    max_body_bytes: int = 32 * 2**20,
    session: requests.Session | None = None,
    sleep: Callable[[float], object] = time.sleep,
    jitter: Callable[[], float] = random.random,
    clock: Clock | None = None,
) -> Backend:
    """Make a backend of a provider.

    Args:
        base_url: its address, up to and with ``/v1``.
        api_key: its key; a provider on one's own machine may need none.
        model: the model to ask for.
        timeout: the deadline of a run, in seconds. The executor ends a run at it; this backend gives up a
            moment later by itself, for where nobody does.
        max_body_bytes: how large an answer may be, as JSON and decompressed.
        session: what to send requests with, in place of sessions with a pool of their own.
        sleep: waits between two tries.
        jitter: gives numbers from 0.0 to 1.0 that spread those waits.
        clock: tells the moment.

    Raises:
        StartError: a setting is missing, or none that a provider can be reached with.
    """
    url = _url(base_url)
    if not model:
        raise StartError("the openai backend needs to know its model: set openai_model")
    key = (api_key or "").strip()
    # Caught by the HTTP library only at the first request, in a message that shows the key.
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise StartError("openai_api_key has characters that no key has: copy it again, without spaces or quotes")
    clock = clock or wall_clock()
    surroundings = surroundings_of(url)
    sessions = (
        Sessions(session_for(surroundings), lambda: session_for(surroundings))
        if session is None
        else Sessions(session, lambda: nullcontext(session))
    )
    provider = Provider(
        model=model,
        secret=key,
        timeout=timeout,
        post=Wire(url, key, sessions, clock, max_body_bytes).post,
        sleep=sleep,
        jitter=jitter,
        clock=clock,
    )
    return Backend("openai", provider.ask)


def _url(base_url: str | None) -> str:
    if not base_url:
        raise StartError(
            "the openai backend needs the address of its provider: set openai_base_url, for instance to "
            "https://api.openai.com/v1"
        )
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartError("openai_base_url is no address: write it like https://api.openai.com/v1")
    if parts.username is not None or parts.query or parts.fragment:
        # They would be in every log line and error that names the address, and a name in it replaces the key.
        raise StartError("openai_base_url has more than an address: leave out what is before @ and from ? or # on")
    return base_url.rstrip("/").removesuffix(_ENDPOINT) + _ENDPOINT
