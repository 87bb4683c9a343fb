"""Fixtures: LiteLLM's proxy, the server under test, and the provider behind them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.processes import free_port, running
from e2e.server import Served, serving, token
from tests.backends.fake_provider import Provider, http, provider

CONFIGURATION = Path(__file__).parent / "litellm"
TEXT = "你好！The answer is 42 👩‍👩‍👧‍👦. See https://example.org/a?b=1.5, e.g. 3.14.\n\nAsk again."
KEY = "sk-e2e-0123456789abcdef"


@pytest.fixture(scope="session")
def behind() -> Iterator[Provider]:
    """Return the provider that LiteLLM's proxy uses for the model ``relayed``."""
    with provider(http(404, {})) as served:
        yield served


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a server with the backend of e2e/backend.py that calls tools; LiteLLM's proxy uses it too."""
    with serving(tmp_path_factory.mktemp("shared"), backend="backend:use_tool", timeout=60) as served:
        yield served


@pytest.fixture
def served(shared: Served, request: pytest.FixtureRequest) -> Served:
    """Return the server as seen by a user without runs."""
    return replace(shared, token=token(request.node.name, shared.environment))


@pytest.fixture(scope="session")
def litellm(tmp_path_factory: pytest.TempPathFactory, behind: Provider, shared: Served) -> Iterator[int]:
    """Run LiteLLM's proxy; yield its port."""
    program = os.environ.get("E2E_LITELLM_PROXY")
    if program is None:
        pytest.fail("E2E_LITELLM_PROXY is not set: start these tests with make e2e")
    folder = tmp_path_factory.mktemp("litellm")
    for part in CONFIGURATION.iterdir():
        if part.is_file():
            shutil.copy(part, folder)
    port = free_port()
    environment = {
        # It would download prices and send telemetry.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        # It would load the nearest .env file.
        "LITELLM_MODE": "PRODUCTION",
        "NO_DOCS": "True",
        "E2E_PROVIDER": behind.base_url,
        "E2E_SERVED": shared.url,
        "E2E_SERVED_V1": f"{shared.url}/v1",
        "E2E_TOKEN": token("litellm", shared.environment),
    }
    command = [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with running(command, f"http://127.0.0.1:{port}/health/liveliness", 480, folder, environment):
        yield port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that starts a server with the given settings for one test."""
    with ExitStack() as started:

        def start(**settings: object) -> Served:
            folder = tmp_path / f"served-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return started.enter_context(serving(folder, **{"openai_api_key": KEY} | settings))

        yield start
