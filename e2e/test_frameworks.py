"""Published packages on top of the OpenAI and Anthropic clients, with slow, failing and rate-limited backends.

All programs run at the same time, each with a user of its own: every one waits for twenty seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import get_args

import pytest

from e2e.backend import TEXT
from e2e.published_clients import Framework, Result, runs, use_framework
from e2e.server import Served, token

CHAT = ("whole", "stream")
TEXTS = ("text", "text_stream")
OTHERS = ("stream_async", "anthropic", "anthropic_stream")
INTERFACES: Mapping[Framework, Sequence[str]] = {
    "litellm": (*CHAT, *TEXTS, *OTHERS),
    "pydantic_ai": (*CHAT, "typed"),
    "instructor": CHAT,
    "llama_index": (*CHAT, *TEXTS),
    "llm": (*CHAT, *TEXTS),
    "aider": CHAT,
}
MESSAGES = ("20", "fail", "busy", "crowded")
SCENARIOS = [(package, interface) for package, interfaces in INTERFACES.items() for interface in interfaces]
each_interface = pytest.mark.parametrize(("package", "interface"), SCENARIOS, ids=lambda value: str(value))

Results = Mapping[Framework, Mapping[str, Result]]


def is_stream(interface: str) -> bool:
    return "stream" in interface


@pytest.fixture(scope="module")
def users(shared: Served) -> Mapping[Framework, Served]:
    """Return the server as each package's own user sees it."""
    return {package: replace(shared, token=token(package, shared.environment)) for package in INTERFACES}


@pytest.fixture(scope="module")
def results(users: Mapping[Framework, Served], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run all scenarios; return their results by package and scenario."""

    def run(package: Framework) -> Mapping[str, Result]:
        scenarios = [f"{interface}:{message}" for interface in INTERFACES[package] for message in MESSAGES]
        return use_framework(package, users[package], scenarios, tmp_path_factory.mktemp(package))

    with ThreadPoolExecutor(len(INTERFACES)) as pool:
        return dict(zip(INTERFACES, pool.map(run, INTERFACES), strict=True))


@each_interface
def test_a_backend_that_is_silent_for_twenty_seconds(results: Results, package: Framework, interface: str) -> None:
    """The answer is exact."""
    expected = "Wien" if package == "instructor" or interface == "typed" else TEXT
    assert results[package][f"{interface}:20"] == {"text": expected}


# The exception that each package documents, and its status: in a response, and in a stream, which has begun with 200.
FAILURES: Mapping[Framework, Mapping[str, tuple[tuple[str, int | None], tuple[str, int | None]]]] = {
    "litellm": {
        "fail": (("BadGatewayError", 502), ("MidStreamFallbackError", 500)),
        "busy": (("RateLimitError", 429), ("MidStreamFallbackError", 429)),
        "crowded": (("ContextWindowExceededError", 400), ("ContextWindowExceededError", 400)),
    },
    "pydantic_ai": {
        "fail": (("ModelHTTPError", 502), ("APIError", None)),
        "busy": (("ModelHTTPError", 429), ("APIError", None)),
        "crowded": (("ModelHTTPError", 400), ("APIError", None)),
    },
    "instructor": {
        "fail": (("InstructorRetryException", None), ("InstructorRetryException", None)),
        "busy": (("InstructorRetryException", None), ("InstructorRetryException", None)),
        "crowded": (("InstructorRetryException", None), ("InstructorRetryException", None)),
    },
    "llama_index": {
        "fail": (("InternalServerError", 502), ("APIError", None)),
        "busy": (("RateLimitError", 429), ("APIError", None)),
        "crowded": (("BadRequestError", 400), ("APIError", None)),
    },
    "llm": {
        "fail": (("SystemError", None), ("SystemError", None)),
        "busy": (("SystemError", None), ("SystemError", None)),
        "crowded": (("SystemError", None), ("SystemError", None)),
    },
    "aider": {
        "fail": (("BadGatewayError", 502), ("APIConnectionError", 500)),
        "busy": (("RateLimitError", 429), ("RateLimitError", 429)),
        "crowded": (("ContextWindowExceededError", 400), ("ContextWindowExceededError", 400)),
    },
}
# LiteLLM keeps no more of an error in these streams than that there was one.
EXCEPTIONS = {
    ("litellm", "text_stream", "fail"): ("InternalServerError", 500),
    ("litellm", "text_stream", "busy"): ("RateLimitError", 429),
    ("litellm", "anthropic_stream", "busy"): ("MidStreamFallbackError", 500),
}
WORDS = {"fail": "The library is closed today.", "busy": "The library is full.", "crowded": "The question is too long."}
# Causes of the exceptions of instructor, which name the failure.
CAUSES = {"fail": "InternalServerError", "busy": "RateLimitError", "crowded": "BadRequestError"}


@each_interface
@pytest.mark.parametrize("message", WORDS)
def test_a_failure_raises_the_documented_exception(
    results: Results, package: Framework, interface: str, message: str
) -> None:
    """With the words of the failure."""
    result = results[package][f"{interface}:{message}"]
    expected = FAILURES[package][message][is_stream(interface)]
    expected = EXCEPTIONS.get((package, interface, message), expected)
    assert (result.get("error"), result.get("status")) == expected, result
    assert WORDS[message] in result["message"]
    if package == "instructor":
        assert result["cause"] == ("APIError" if is_stream(interface) else CAUSES[message])


def test_every_program_covers_its_scenarios() -> None:
    """No package is left out."""
    assert set(INTERFACES) == set(FAILURES) == set(get_args(Framework))


@pytest.mark.parametrize("package", INTERFACES)
def test_only_a_rate_limit_is_tried_again(
    results: Results, users: Mapping[Framework, Served], package: Framework
) -> None:
    """By the packages that retry at all: a slow answer is requested once, and so is one that fails."""
    interfaces = INTERFACES[package]
    responses = sum(not is_stream(interface) for interface in interfaces)
    counts = Counter(runs(users[package]))
    assert len(results[package]) == 4 * len(interfaces)
    assert counts["complete"] == len(interfaces)
    assert 3 * len(interfaces) <= counts["error"] <= 3 * len(interfaces) + 2 * responses
