"""Code and URLs are masked, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given

from persona_stream.chunking.masking import mask_code_and_urls
from tests.chunking.fragments import texts


@given(texts())
def test_the_mask_has_the_length_of_the_text(text: str) -> None:
    """For any text."""
    assert len(mask_code_and_urls(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("plain. text! 你好。", "plain. text! 你好。"),
        ("a `b. c` d", "a ______ d"),
        ("a `` b`c `` d", "a _________ d"),
        ("a `b\nc` d", "a _____ d"),
        ("stray ` and `` others", "stray ` and `` others"),
        ("no `span over\n\na blank` line", "no `span over\n\na blank` line"),
        ("`" + "x. " * 400 + "`", "`" + "x. " * 400 + "`"),
        ("x\n```py\na. b\n\n  c\n```\ny. z", "x\n_____\n____\n\n___\n___\ny. z"),
        ("~~~\na\n```\n~~~~\ny `z`", "___\n_\n___\n____\ny ___"),
        ("1. ```\n   a. b\n   ```\nc. d", "______\n_______\n______\nc. d"),
        ("```\nnever. closed", "___\n_____________"),
        ("```inline. code``` here", "__________________ here"),
        ("see https://a.b/c?d=e. Then", "see _________________. Then"),
        ("(https://a.b/c), http://d.e!", "(_____________), __________!"),
        ("见https://a.b/中文，然后", "见______________，然后"),
        ("[文](https://a.b/c)后面", "[文](_____________)后面"),
        ("a / b :// c", "a / b :// c"),
    ],
)
def test_code_and_urls_are_masked(text: str, hidden: str) -> None:
    """Masked characters are shown as underscores."""
    masked = mask_code_and_urls(text)
    shown = "".join(old if old == new else "_" for old, new in zip(text, masked, strict=True))
    assert shown == hidden
