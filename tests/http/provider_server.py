"""Server with a fake provider behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.backends.fake_provider import Provider, provider
from tests.server_process import ServerProcess, serve


@contextmanager
def serving(backend: str, **settings: str) -> Iterator[tuple[ServerProcess, Provider]]:
    """Run a server with a provider backend that requests streams, until the end of the block; yield both.

    Args:
        backend: ``openai`` or ``anthropic``.
        settings: further settings of the backend, without its name.
    """
    with provider(b"") as behind:
        own = {"base_url": behind.base_url, "model": "m1", "stream": "on", **settings}
        served = serve(backend, **{f"{backend}_{name}": value for name, value in own.items()})
        yield served, behind
        assert served.stop() == 0
