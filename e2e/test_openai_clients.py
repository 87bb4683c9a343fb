"""The published ``openai`` package as a client of ours, with nothing in between."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from e2e.answering import TEXT
from e2e.served import Served

SCRIPT = Path(__file__).parent / "clients" / "openai_python.py"
WAYS = ("whole", "whole_async", "stream", "stream_async", "helper")
STREAMS = WAYS[2:]


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """A server that answers as e2e/answering.py says."""
    return serve(backend="answering:ask", timeout=40)


def use(served: Served, deed: str, message: str = "0", key: str | None = None) -> dict[str, Any]:
    """Do something with the package, in the environment that has it."""
    program = os.environ.get("E2E_OPENAI")
    if program is None:
        pytest.fail("E2E_OPENAI is not set: start these tests with make e2e")
    command = [program, str(SCRIPT), f"{served.url}/v1", key or served.token, deed, message]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def runs(served: Served) -> list[str]:
    """Give the states of all runs that there were."""
    headers = {"Authorization": f"Bearer {served.token}"}
    listed = requests.get(f"{served.url}/api/runs?limit=100", headers=headers, timeout=10).json()["runs"]
    return [run["status"] for run in listed]


def test_every_way_gives_the_whole_answer(served: Served) -> None:
    """To the character, with the reasoning beside it and the tokens."""
    for way in WAYS:
        told = use(served, way)
        assert (told["text"], told["finish"]) == (TEXT, "stop"), way
        assert told.get("reasoning", "Six times seven.") == "Six times seven."
        assert told.get("joined", TEXT) == TEXT
        assert told.get("tokens", 1) > 0 or way == "stream_async"


def test_a_backend_that_is_silent_for_twenty_seconds(served: Served) -> None:
    """Nobody gives up, not even a client that bears three silent seconds, and a stream has begun at once."""
    with ThreadPoolExecutor(3) as pool:
        told = dict(zip(WAYS, pool.map(lambda way: use(served, way, "20"), WAYS), strict=True))
        impatient = use(served, "impatient", "20")
    assert {way: each.get("text") for way, each in told.items()} == dict.fromkeys(WAYS, TEXT)
    assert told["stream"]["first"] < 3.0
    assert impatient["text"] == TEXT
    assert runs(served) == ["complete"] * 6


def test_an_error_before_the_first_byte(served: Served) -> None:
    """The class that the package has for it, with the field."""
    told = use(served, "unstreamed_choices")
    assert (told["error"], told["status"], told["param"]) == ("BadRequestError", 400, "n")
    assert runs(served) == []


def test_an_error_of_the_backend(served: Served) -> None:
    """In a stream after the first byte; otherwise with its status, and the backend is not run three times for it."""
    for way in WAYS:
        told = use(served, way, "fail")
        assert (told["code"], told["type"]) == ("backend_error", "server_error"), way
        assert "The library is closed today." in told["message"]
        assert told["error"] == ("APIError" if way in STREAMS else "InternalServerError")
    assert runs(served) == ["error"] * len(WAYS)


def test_a_bad_key(served: Served) -> None:
    """An authentication error, in every way."""
    for way in ("whole", "stream", "models"):
        told = use(served, way, key="sk-wrong")
        assert (told["error"], told["status"], told["code"]) == ("AuthenticationError", 401, "invalid_api_key"), way


def test_models(served: Served) -> None:
    """There is one, and it can be asked for."""
    assert use(served, "models") == {"names": ["answering:ask"], "one": "answering:ask"}


def test_hanging_up_cancels(served: Served) -> None:
    """The run ends when its client has been gone for the grace."""
    assert use(served, "leave", "35") == {"role": "assistant"}
    until = time.monotonic() + 15
    while runs(served) == ["processing"] and time.monotonic() < until:
        time.sleep(0.2)
    assert runs(served) == ["cancelled"]
