"""Functions as users write them, served as README's "Wrap your own function" says, asked eight times at once.

They run in an environment in which the server is installed beside the packages that they use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from e2e.published_clients import place
from e2e.server import Served
from tests.backends.fake_provider import DONE, Provider, chunk, chunks, completion, http, provider

FUNCTIONS = Path(__file__).parent / "functions"
MODULES = sorted(path.stem for path in FUNCTIONS.glob("*.py") if "def ask(" in path.read_text("utf-8"))
ANSWER = "Forty-two."
QUERIES = 8


@pytest.fixture
def answering(module: str) -> Iterator[Provider]:
    """Return a provider that answers the SDKs."""
    frames = (chunk(delta={"role": "assistant"}), "Forty", "-two.", chunk(finish_reason="stop"), DONE)
    streamed = http(200, chunks(*frames), "Content-Type: text/event-stream")
    whole = http(200, completion(ANSWER, created=0, model="m1"), "Content-Type: application/json")
    with provider(streamed if module == "openai_stream" else whole) as served:
        yield served


@pytest.mark.parametrize("executor", ["auto", "thread"])
@pytest.mark.parametrize("module", MODULES)
def test_eight_queries_at_once_are_answered(
    serve: Callable[..., Served], answering: Provider, module: str, executor: str
) -> None:
    """Half of them as streams; afterwards the server is as ready as before, and its log has no error."""
    flags = {} if executor == "auto" else {"executor": executor}
    served = serve(
        python=place("E2E_FUNCTIONS"), files=FUNCTIONS.iterdir(), backend=f"{module}:ask", timeout=60, **flags
    )

    def ask(number: int) -> str:
        if number % 2:
            response = served.ask("chat", message=answering.base_url)
            assert response.status_code == 200, response.text
            return response.json()["data"]
        events = served.events("stream_chat_smart", message=answering.base_url)
        assert events[-1]["status"] == "complete", events[-1]
        return "".join(event["data"] for event in events)

    with ThreadPoolExecutor(QUERIES) as pool:
        answers = list(pool.map(ask, range(QUERIES)))
    assert answers == [ANSWER] * QUERIES, served.log.read_text("utf-8")
    ready = requests.get(f"{served.url}/readyz", timeout=10)
    assert ready.status_code == 200
    assert "problems" not in ready.json()
    log = served.log.read_text("utf-8")
    assert f"{module}:ask runs" in log
    assert "ERROR" not in log
    assert "Traceback" not in log
