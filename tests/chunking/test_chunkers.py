"""Pieces of 20 characters.

Pieces of whole words.

Pieces of one sentence.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.chunkers import characters, sentences, words
from tests.chunking.fragments import WIDE


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("short", ["short"]),
        ("x" * 20, ["x" * 20]),
        ("x" * 21, ["x" * 20, "x"]),
        ("中" * 45, ["中" * 20, "中" * 20, "中" * 5]),
        # A cluster that straddles the size goes whole into the next piece.
        ("x" * 19 + "e\u0301" + "y" * 20, ["x" * 19, "e\u0301" + "y" * 18, "yy"]),
        ("x" * 19 + "\r\n" + "y" * 3, ["x" * 19, "\r\nyyy"]),
        ("x" * 19 + "👨‍👩‍👧‍👦" + "y" * 13, ["x" * 19, "👨‍👩‍👧‍👦" + "y" * 13]),
        ("🇩🇪" * 15 + "x", ["🇩🇪" * 10, "🇩🇪" * 5 + "x"]),
        ("x" + "🇩🇪" * 15, ["x" + "🇩🇪" * 9, "🇩🇪" * 6]),
        # One that is longer than the size is a piece of its own.
        ("abc" + "e" + "\u0301" * 30 + "xyz", ["abc", "e" + "\u0301" * 30, "xyz"]),
        ("e" + "\u0301" * 30, ["e" + "\u0301" * 30]),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    """The pieces are these."""
    assert characters(text) == pieces


@pytest.mark.parametrize("letter", ["x", "中"])
def test_size_grows(letter: str) -> None:
    """Over 20,000 characters the pieces grow, all alike, and there are 1,000."""
    assert [len(piece) for piece in characters(letter * 20_000)] == [20] * 1000
    assert [len(piece) for piece in characters(letter * 42_000)] == [42] * 1000


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
def test_words_pieces(pieces: list[str]) -> None:
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


SENTENCES_ENGLISH = [
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
SENTENCES_CHINESE = [
    ["以太坊是一个公共区块链平台。", "2013年，他发表了白皮书！", "它可行吗？", "当然……", "试试；", "好吧。"],
    ["“它真的可行吗？”", "有人问道。", "他说：“可以。”", "“没问题！”，他又说。", "（真的？！）", "【完。】"],
    ["价格是3.14元，共1,000,000个。", "约３．１４元。", "见图1.2。", "1.第一点 2.第二点。"],
    ["详见https://ethereum.org/zh/whitepaper。", "然后用`web3.py 库。好`吧。"],
    ["**重点。**", "这是正文。", "**注意：**还有。"],
    ['他说:"你好。"', "然后走了。", '"再见。"', "完"],
    ["中文.English. ", "好.", "再来!", "「好。」", "Mixed English中文。"],
]
SENTENCES_JAPANESE = [
    ["これはペンです。", "「本当？」", "と彼は言った。", "ちょっと難しいかもしれません！", "３．２９％以上。"]
]
SENTENCES_THAI = [["สวัสดีครับ ", "ผมชื่อวิทาลิก ", "อื่นๆ อีกมากมาย 3.14 ครับ"]]
SENTENCES_MARKDOWN = [
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


@pytest.mark.parametrize(
    "pieces", [[], *SENTENCES_ENGLISH, *SENTENCES_CHINESE, *SENTENCES_JAPANESE, *SENTENCES_THAI, *SENTENCES_MARKDOWN]
)
def test_sentences_pieces(pieces: list[str]) -> None:
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


def test_sentences_a_long_word() -> None:
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
