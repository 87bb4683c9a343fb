from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.processes import free_port, running
from e2e.served import Served

CONFIGURATION = Path(__file__).parent / "litellm"
TEXT = "你好！The answer is 42 👩‍👩‍👧‍👦. See https://example.org/a?b=1.5, e.g. 3.14.\n\nAsk again."
KEY = "sk-e2e-0123456789abcdef"


@pytest.fixture(scope="session")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run LiteLLM's proxy, and give its port."""
    program = os.environ.get("E2E_LITELLM")
    if program is None:
        pytest.fail("E2E_LITELLM is not set: start these tests with make e2e")
    folder = tmp_path_factory.mktemp("litellm")
    for part in CONFIGURATION.iterdir():
        if part.is_file():
            shutil.copy(part, folder)
    port = free_port()
    environment = {
        # It would fetch prices, and tell of its start, over the internet.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        # It would read the nearest .env.
        "LITELLM_MODE": "PRODUCTION",
        "NO_DOCS": "True",
    }
    command = [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with running(command, f"http://127.0.0.1:{port}/health/liveliness", 480, folder, environment):
        yield port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Give a function that serves with these settings until the end of the test."""
    with ExitStack() as started:

        def start(**settings: object) -> Served:
            folder = tmp_path / f"served-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            shutil.copy(Path(__file__).parent / "answering.py", folder)
            environment = {"PERSONA_STREAM_JWT_SECRET": secrets.token_hex(32)}
            program = [sys.executable, "-m", "persona_stream"]
            port = free_port()
            flags = {"port": port, "backend": "openai", "openai_api_key": KEY} | settings
            command = [*program, "serve", *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())]
            url = f"http://127.0.0.1:{port}"
            log = started.enter_context(running(command, f"{url}/readyz", 60, folder, environment))
            token = subprocess.run(
                [*program, "token", "--user", "e2e"],
                env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
            return Served(url, token, log)

        yield start
