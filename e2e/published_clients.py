"""Published client packages, each driven by a small program in an environment of its own.

A program does several things when it is asked to, in turn or at the same time: to import such a package can take ten
seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from e2e.server import Served

_CLIENTS = Path(__file__).parent / "clients"
_BASES = {"openai": "/v1", "langchain": "/v1", "ai": "/v1", "responses": "/v1"}

Package = Literal["openai", "anthropic", "langchain", "ai", "responses"]
Framework = Literal["litellm", "pydantic_ai", "instructor", "llama_index", "llm", "aider"]
Result = dict[str, Any]


def place(name: str) -> str:
    """Return the location of an environment from its variable: a Python program, or a Node folder."""
    found = os.environ.get(name)
    if found is None:
        pytest.fail(f"{name} is not set: start these tests with make e2e")
    return found


def use(
    package: Package, served: Served, language: str, scenario: str, message: str = "0", key: str | None = None
) -> Result:
    """Run one scenario with a client package; return its result."""
    return use_all(package, served, language, [scenario], message, key)[scenario]


def use_all(
    package: Package,
    served: Served,
    language: str,
    scenarios: Sequence[str],
    message: str = "0",
    key: str | None = None,
) -> dict[str, Result]:
    """Run several scenarios; return their results."""
    name = f"E2E_{package.upper()}" + ("_NODE" if language == "node" else "")
    python, node = [place(name), _CLIENTS / f"{package}_python.py"], ["node", _CLIENTS / f"{package}_node.mjs"]
    done = subprocess.run(
        [
            *(python if language == "python" else node),
            served.url + _BASES.get(package, ""),
            key or served.token,
            ",".join(scenarios),
            message,
        ],
        env={"PATH": os.environ["PATH"], name: place(name)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(scenarios, json.loads(done.stdout), strict=True))


def use_framework(package: Framework, served: Served, scenarios: Sequence[str], folder: Path) -> dict[str, Result]:
    """Run scenarios of the form ``name:message`` at the same time, with a folder as home; return their results."""
    done = subprocess.run(
        [
            place(f"E2E_{package.upper()}"),
            _CLIENTS / f"{package}_python.py",
            served.url,
            served.token,
            ",".join(scenarios),
        ],
        # LiteLLM would download prices, and send telemetry.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(scenarios, json.loads(done.stdout.splitlines()[-1]), strict=True))


def runs(served: Served) -> list[str]:
    """Return the states of all runs."""
    return [run["status"] for run in served.runs()]
