"""Pieces of one sentence."""

from __future__ import annotations

import pytest

from persona_stream.chunking.chunkers import sentences

ENGLISH = [
    [
        "Vitalik Buterin, born Jan. 31, 1994, is a programmer. ",
        "He co-founded Ethereum (with e.g. Gavin Wood, etc.) in 2014! ",
    ],
    [
        "Dr. J. R. R. Tolkien wrote “The Hobbit.” ",
        "Then what? ",
        "The value is 3.14, i.e. about 1,000 times 1.5e-3... or so.",
    ],
    ["It runs on 192.168.0.1 since 2026-11-20. ", "See https://a.b/c?d=e.f. ", "Is that it? ", "Yes!"],
    ["He lives in the U.S. ", "The end of Apple Inc. is near. ", "The U.S. Government is not."],
    ['"Really?" he asked. ', '"Yes!" ', "She left. ", "(Why?) ", "No. ", "That is No. 5."],
    ["Wait... what? ", "Wait... ", "What?! ", "So . . . then. ", "Oh… ", "Well… maybe."],
    ["Great!🎉 ", "Next.[1] ", "Last.[^2]"],
    ["It is **bold.** ", "_Really?_ ", "Use `a. b`. ", "`C. D` too."],
    ["It works on Node.js vs. Python. ", "She works at Yahoo.com now."],
    ["One.  ", "Two.\t", "Three.\n\n", "    Four.   \n"],
]
CHINESE = [
    ["以太坊是一个公共区块链平台。", "2013年，他发表了白皮书！", "它可行吗？", "当然……", "试试；", "好吧。"],
    ["“它真的可行吗？”", "有人问道。", "他说：“可以。”", "“没问题！”，他又说。", "（真的？！）", "【完。】"],
    ["价格是3.14元，共1,000,000个。", "约３．１４元。", "见图1.2。", "1.第一点 2.第二点。"],
    ["详见https://ethereum.org/zh/whitepaper。", "然后用`web3.py 库。好`吧。"],
    ["**重点。**", "这是正文。", "**注意：**还有。"],
    ['他说:"你好。"', "然后走了。", '"再见。"', "完"],
    ["中文.English. ", "好.", "再来!", "「好。」", "Mixed English中文。"],
]
JAPANESE = [["これはペンです。", "「本当？」", "と彼は言った。", "ちょっと難しいかもしれません！", "３．２９％以上。"]]
THAI = [["สวัสดีครับ ", "ผมชื่อวิทาลิก ", "อื่นๆ อีกมากมาย 3.14 ครับ"]]
MARKDOWN = [
    ["## 1. Getting started\n\n", "1. Install it. ", "Then run.\n", "2. Call `foo(1, 2)`:\n\n", "3. Done. ", "Well.\n"],
    ["```python\n", "def f(a):\n", "    # Hello. World!\n", "    return a\n\n", "f(1)\n", "```\n\n", "Text. ", "Text."],
    [
        "- **Speed**: fast. ",
        "Very fast.\n",
        "  - nested! ",
        "Yes.\n\n",
        "> Quote. ",
        "Done.\n\n",
        "| a | b |\n",
        "|---|---|\n",
    ],
]


@pytest.mark.parametrize("pieces", [[], *ENGLISH, *CHINESE, *JAPANESE, *THAI, *MARKDOWN])
def test_pieces(pieces: list[str]) -> None:
    """One sentence is one piece, with what closes it and the blanks behind it."""
    assert sentences("".join(pieces)) == pieces


@pytest.mark.parametrize("text", ["\n\n  Hello there. ", "   ", "\n\n\n", " \n x"])
def test_no_blank_pieces(text: str) -> None:
    """Blanks at the beginning go with the first sentence."""
    assert sentences(text) == [text]


def test_a_long_sentence() -> None:
    """A sentence of words is one piece, whatever its length."""
    text = "word " * 400
    assert sentences(text) == [text]


def test_a_long_word() -> None:
    """A word of more than 200 characters is cut, and the sentence around it only there."""
    text = "See " + "x" * 450 + " there."
    assert sentences(text) == ["See " + "x" * 200, "x" * 200, "x" * 50 + " there."]
    assert sentences("See " + "x" * 200 + " there.") == ["See " + "x" * 200 + " there."]


def test_chinese_without_a_stop() -> None:
    """Chinese without a stop is cut at its commas, and where it has none, at its characters."""
    clause = "这个句子没有句号" * 10 + "，"
    assert sentences(clause * 4) == [clause * 2, clause * 2]
    assert sentences("字" * 450) == ["字" * 200, "字" * 200, "字" * 50]


def test_an_address_in_a_long_word() -> None:
    """An address of up to 200 characters is whole also in a longer word; a longer one is a long word itself."""
    address = "https://example.com/" + "y" * 170
    assert sentences("(see:" + "x" * 50 + "," + address + ")") == ["(see:" + "x" * 50 + ",", address + ")"]
    assert sentences(address + "z" * 100) == [(address + "z" * 100)[:200], "z" * 90]


def test_groups_grow() -> None:
    """Over 1,000 sentences come in groups, and no group ends inside a sentence."""
    pieces = sentences("One is short. This one is a little longer. " * 2500)
    assert len(pieces) <= 1000
    assert all(piece.endswith(". ") for piece in pieces)
    assert max(map(len, pieces)) < 3 * min(map(len, pieces[:-1]))
