"""Tokens are counted if a tokenizer is installed."""

from __future__ import annotations

import json
import subprocess

import pytest

from e2e.published_clients import place

# Counts of OpenAI's own library with the tokenizer of its newer models.
KNOWN = {
    "": 0,
    "Hello world, 你好世界。": 7,
    "<|endoftext|>": 7,
    "half \ud83d": 2,
    "Hello world, 你好世界。" * 1000: 7000,
}
COUNT = """
import json, sys
from persona_stream.core.usage import count_tokens
print([count_tokens([text]) for text in json.load(sys.stdin)])
"""


def test_tokens_are_counted() -> None:
    """The count is exact up to 10,000 characters and close beyond; special tokens in a text count as text."""
    done = subprocess.run(
        [place("E2E_TOKENS"), "-c", COUNT], input=json.dumps(list(KNOWN)), capture_output=True, text=True, check=True
    )
    *counted, estimated = json.loads(done.stdout)
    *known, long = KNOWN.values()
    assert counted == known
    assert estimated == pytest.approx(long, rel=0.01)
