"""Scenarios of the published ``aider-chat`` package, through the class that asks models; see concurrently.py.

An exception that is missing in aider's own table would end its session; here it fails the program.
"""

from __future__ import annotations

import os

import concurrently

BASE_URL, KEY = concurrently.arguments()
os.environ.update(OPENAI_API_BASE=f"{BASE_URL}/v1", OPENAI_API_KEY=KEY, LITELLM_LOCAL_MODEL_COST_MAP="True")

from aider.exceptions import LiteLLMExceptions  # noqa: E402 - reads the variables
from aider.models import Model  # noqa: E402 - the same

KNOWN = {each.name for each in LiteLLMExceptions().exceptions.values()}


def ask(message: str, *, stream: bool) -> str:
    try:
        _, response = Model("openai/ada").send_completion([{"role": "user", "content": message}], None, stream)
        if stream:
            return "".join(chunk.choices[0].delta.content or "" for chunk in response)
        return str(response.choices[0].message.content)
    except Exception as error:
        if type(error).__name__ not in KNOWN:
            raise AssertionError(f"aider does not know {error!r}") from error
        raise


concurrently.run(
    {"whole": lambda message: ask(message, stream=False), "stream": lambda message: ask(message, stream=True)}
)
