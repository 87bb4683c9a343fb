"""Pieces of whole words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.chunkers import words
from tests.chunking.fragments import WIDE

ENGLISH = [
    [
        "Vitalik Buterin, born ",
        "Jan. 31, 1994, is a ",
        "Canadian programmer. ",
        "He co-founded Ethereum ",
        "in 2014! ",
        "What next?",
    ],
    [
        "See https://ethereum.org/en/whitepaper/?a=b&c=d. ",
        "It runs on 192.168.0.1 ",
        "and costs 1,000,000.50 ",
        "dollars.",
    ],
    ["Run `pip install persona_stream` ", "first."],
    ["A short line\n", "and a second one.\n\n", "    Indented text that ", "goes on."],
]
CHINESE = [
    [
        "以太坊是一个开源的、具有智能合约功能的公共区块链平台。",
        "2013年11月，维塔利克·布特林（Vitalik ",
        "Buterin）发表了白皮书！",
    ],
    ["“它真的可行吗？”", "有人问道。", "他说：“可以……", "我们试试。”"],
    [
        "然后，团队在2014年筹集了1,000,000美元，",
        "价格约为3.14元/个；",
        "第3章讲述了《黄皮书》的内容，包括EVM（以太坊虚拟机）、",
        "Gas费用等等。",
    ],
    ["详见https://ethereum.org/zh/whitepaper。", "再使用`web3.py 库`或访问官网，", "谢谢😀！", "再见。"],
    ["使用 Python 3.11 编写的 Web ", "框架 Flask 非常流行。"],
]
JAPANESE = [
    ["イーサリアムのコンピューターは「ワールドコンピュータ」と", "呼ばれていますが、ちょっと難しいかもしれません！"]
]
THAI = [["สวัสดีครับ ", "ผมชื่อวิทาลิก ", "ซึ่งเป็นแพลตฟอร์มบล็อก", "เชนแบบเปิดที่มีสัญญาอัจฉริยะ", "และอื่นๆ อีกมากมาย"]]
MARKDOWN = [
    [
        "## Getting started\n\n",
        "1. Install it. ",
        "Then run:\n\n",
        "```python\n",
        "def a_rather_long_name(x): return x. y\n",
        "```\n",
    ],
]


@pytest.mark.parametrize("pieces", [[], *ENGLISH, *CHINESE, *JAPANESE, *THAI, *MARKDOWN])
def test_pieces(pieces: list[str]) -> None:
    """The pieces are these: they end with words, sentences and phrases."""
    assert words("".join(pieces)) == pieces


_plain = st.lists(
    st.sampled_from(["a", "the", "word", "other", "programmer", "x" * 25, "end.", "end. The"]), max_size=40
)


@given(_plain.map(" ".join))
def test_until_twenty(text: str) -> None:
    """A piece has words until it has 20 characters, and fewer only at a sentence's end."""
    pieces = words(text)
    for piece in pieces[:-1]:
        assert piece.endswith(" ")
        assert len(piece) >= 20 or piece.endswith(". ")
    for piece in pieces:
        assert len(piece.rstrip().rpartition(" ")[0]) < 20


# Katakana, which make one word however many there are, have a comma here.
@given(
    st.lists(
        st.sampled_from([*WIDE, "，", "。", "Latin, "]),
        min_size=1,
        max_size=40,
    ).map(lambda parts: "".join(parts).replace("ター", "ター、"))
)
def test_never_one_block(text: str) -> None:
    """Text without spaces is cut too: no piece is much longer than 20 characters."""
    assert max(map(len, words(text))) <= 40


@given(
    st.lists(
        st.sampled_from([*"你好世界平台（「《）」》，、：。！？々ー", "っ", "コンピューター", "100元", "3.14", "abc"]),
        max_size=20,
    ).map("".join)
)
def test_kinsoku(text: str) -> None:
    """No piece begins with closing punctuation, a small kana or such, and none ends with opening punctuation."""
    pieces = words(text)
    for piece, following in pairwise(pieces):
        assert piece[-1] not in "（「《"
        assert following[0] not in "）」》，、：。！？々ーっ"
        assert not (piece[-1].isdigit() and following[0] == "元")
        assert not (piece[-1] in "コンピューター" and following[0] in "コンピューター")


def test_a_long_word() -> None:
    """A word of more than 200 characters is cut at graphemes; one of 200 is not."""
    assert words("y" * 200 + " z") == ["y" * 200 + " ", "z"]
    assert words("Look: " + "x" * 450 + " z") == ["Look: " + "x" * 200, "x" * 200, "x" * 50 + " ", "z"]
    assert words("e\u0301" * 150) == ["e\u0301" * 100, "e\u0301" * 50]
    assert words("x" + "🇩🇪" * 120) == ["x" + "🇩🇪" * 99, "🇩🇪" * 21]


def test_a_long_word_behind_chinese() -> None:
    """Only the long word is cut: one of 195 letters behind Chinese is whole."""
    assert words("以太坊是什么" + "x" * 195) == ["以太坊是什么", "x" * 195]


def test_sizes_grow() -> None:
    """Over 1,000 pieces they grow, and are of whole words still."""
    pieces = words("some words and other words " * 2000)
    assert len(pieces) <= 1000
    assert all(piece.endswith(" ") for piece in pieces)
    assert {len(piece) > 50 for piece in pieces} == {True}
