"""The scenarios of one client program, run at the same time: ``PROGRAM BASE_URL KEY SCENARIO:MESSAGE,…``.

To import such a package takes longer than most scenarios, and all that wait twenty seconds wait together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Result = dict[str, Any]
Scenario = Callable[[str], str]
"""Returns the text of the answer to a message."""


def arguments() -> tuple[str, str]:
    """Return the base URL and the key."""
    return sys.argv[1], sys.argv[2]


def run(scenarios: Mapping[str, Scenario]) -> None:
    """Run the scenarios that the command names, and print their results as a JSON list."""
    asked = [each.split(":") for each in sys.argv[3].split(",")]
    with ThreadPoolExecutor(len(asked)) as pool:
        results = list(pool.map(lambda each: _run(scenarios[each[0]], each[1]), asked))
    print(json.dumps(results))


def _run(scenario: Scenario, message: str) -> Result:
    try:
        return {"text": scenario(message)}
    except Exception as error:  # noqa: BLE001 - each exception of the package is a result
        return {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "cause": type(error.__cause__).__name__,
            "message": str(error),
        }
