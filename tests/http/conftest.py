"""Servers that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, serve

SERVERS = {"fast lane": "persona_stream", "WSGI": "tests.http.wsgi_only"}
"""Modules with the command line: with the fast lane, and without it, as behind a foreign WSGI server."""


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server whose backend answers as the username says; see tests.backends_for_tests."""
    served = serve(
        "tests.backends_for_tests:chosen",
        module=SERVERS[request.param],
        timeout=6,
        max_body_bytes=500_000,
        max_answer_bytes=1_000_000,
    )
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The demo persona, as quick as it gets."""
    served = serve("demo", demo_seconds=0, state_dir=tmp_path_factory.mktemp("state"))
    yield served
    assert served.stop() == 0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder of the test's own."""
    return tmp_path / "state"
