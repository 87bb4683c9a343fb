"""The bundled chunkers: characters, words and sentences."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking import chunkers
from persona_stream.chunking.chunkers import MAX_CHUNKS, characters, sentences, split_at, words
from persona_stream.chunking.graphemes import MAX_CLUSTER_LENGTH
from persona_stream.chunking.registry import Chunker
from persona_stream.core.projection import schedule_chunks
from tests.chunking.fragments import WIDE
from tests.documents import API, README, README_ZH
from tests.large_texts import LARGE_TEXTS


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("", []),
        ("short", ["short"]),
        ("x" * 20, ["x" * 20]),
        ("x" * 21, ["x" * 20, "x"]),
        ("中" * 45, ["中" * 20, "中" * 20, "中" * 5]),
        # A cluster at the limit goes into the next chunk.
        ("x" * 19 + "e\u0301" + "y" * 20, ["x" * 19, "e\u0301" + "y" * 18, "yy"]),
        ("x" * 19 + "\r\n" + "y" * 3, ["x" * 19, "\r\nyyy"]),
        ("x" * 19 + "👨‍👩‍👧‍👦" + "y" * 13, ["x" * 19, "👨‍👩‍👧‍👦" + "y" * 13]),
        ("🇩🇪" * 15 + "x", ["🇩🇪" * 10, "🇩🇪" * 5 + "x"]),
        ("x" + "🇩🇪" * 15, ["x" + "🇩🇪" * 9, "🇩🇪" * 6]),
        # A cluster above the size is a chunk of its own.
        ("abc" + "e" + "\u0301" * 30 + "xyz", ["abc", "e" + "\u0301" * 30, "xyz"]),
        ("e" + "\u0301" * 30, ["e" + "\u0301" * 30]),
    ],
)
def test_characters_splits_into_chunks_of_twenty(text: str, chunks: list[str]) -> None:
    """Grapheme clusters stay whole."""
    assert characters(text) == chunks


@pytest.mark.parametrize("letter", ["x", "中"])
def test_characters_grow_above_a_thousand_chunks(letter: str) -> None:
    """All chunks grow alike."""
    assert [len(chunk) for chunk in characters(letter * 20_000)] == [20] * 1000
    assert [len(chunk) for chunk in characters(letter * 42_000)] == [42] * 1000


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
    ["“它真的可行吗？”有人问道。", "他说：“可以……我们试试。”"],
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


@pytest.mark.parametrize("chunks", [[], *ENGLISH, *CHINESE, *JAPANESE, *MARKDOWN])
def test_words_splits_at_words_phrases_and_sentences(chunks: list[str]) -> None:
    """Chunks end early at the end of a sentence."""
    assert words("".join(chunks)) == chunks


_plain = st.lists(
    st.sampled_from(["a", "the", "word", "other", "programmer", "x" * 25, "end.", "end. The"]), max_size=40
)


@given(_plain.map(" ".join))
def test_a_chunk_has_twenty_characters_or_ends_its_sentence(text: str) -> None:
    """Without its last word it has fewer than 20 characters."""
    chunks = words(text)
    for chunk in chunks[:-1]:
        assert chunk.endswith(" ")
        assert len(chunk) >= 20 or chunk.endswith(". ")
    for chunk in chunks:
        assert len(chunk.rstrip().rpartition(" ")[0]) < 20


# A katakana word of any length stays whole, so it is followed by a comma here.
@given(
    st.lists(
        st.sampled_from([*WIDE, "，", "。", "Latin, "]),
        min_size=1,
        max_size=40,
    ).map(lambda parts: "".join(parts).replace("ター", "ター、"))
)
def test_text_without_spaces_is_split(text: str) -> None:
    """No chunk is much longer than 20 characters."""
    assert max(map(len, words(text))) <= 40


@given(
    st.lists(
        st.sampled_from([*"你好世界平台（「《）」》，、：。！？々ー", "っ", "コンピューター", "100元", "3.14", "abc"]),
        max_size=20,
    ).map("".join)
)
def test_line_breaking_rules_are_followed(text: str) -> None:
    """No chunk starts with closing punctuation or a small kana, and none ends with opening punctuation."""
    chunks = words(text)
    for chunk, following in pairwise(chunks):
        assert chunk[-1] not in "（「《"
        assert following[0] not in "）」》，、：。！？々ーっ"
        assert not (chunk[-1].isdigit() and following[0] == "元")
        assert not (chunk[-1] in "コンピューター" and following[0] in "コンピューター")


def test_a_word_above_200_characters_is_split_at_graphemes() -> None:
    """A word of 200 characters is not."""
    assert words("y" * 200 + " z") == ["y" * 200 + " ", "z"]
    assert words("Look: " + "x" * 450 + " z") == ["Look: " + "x" * 200, "x" * 200, "x" * 50 + " ", "z"]
    assert words("e\u0301" * 150) == ["e\u0301" * 100, "e\u0301" * 50]
    assert words("x" + "🇩🇪" * 120) == ["x" + "🇩🇪" * 99, "🇩🇪" * 21]


def test_a_word_of_195_letters_after_chinese_stays_whole() -> None:
    """The Chinese characters before it do not count as part of the word."""
    assert words("以太坊是什么" + "x" * 195) == ["以太坊是什么", "x" * 195]


def test_words_grow_above_a_thousand_chunks() -> None:
    """The chunks still consist of whole words."""
    chunks = words("some words and other words " * 2000)
    assert len(chunks) <= 1000
    assert all(chunk.endswith(" ") for chunk in chunks)
    assert {len(chunk) > 50 for chunk in chunks} == {True}


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
    ["“它真的可行吗？”有人问道。", "他说：“可以。”", "“没问题！”，他又说。", "（真的？！）", "【完。】"],
    ["价格是3.14元，共1,000,000个。", "约３．１４元。", "见图1.2。", "1.第一点 2.第二点。"],
    ["详见https://ethereum.org/zh/whitepaper。", "然后用`web3.py 库。好`吧。"],
    ["**重点。**", "这是正文。", "**注意：**还有。"],
    ['他说:"你好。"', "然后走了。", '"再见。"', "完"],
    ["中文.English. ", "好.", "再来!", "「好。」", "Mixed English中文。"],
]
SENTENCES_JAPANESE = [
    ["これはペンです。", "「本当？」と彼は言った。", "ちょっと難しいかもしれません！", "３．２９％以上。"]
]
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
    "chunks", [[], *SENTENCES_ENGLISH, *SENTENCES_CHINESE, *SENTENCES_JAPANESE, *SENTENCES_MARKDOWN]
)
def test_a_sentence_is_a_chunk(chunks: list[str]) -> None:
    """Closing quotes, brackets and whitespace belong to the sentence before them."""
    assert sentences("".join(chunks)) == chunks


@pytest.mark.parametrize("text", ["\n\n  Hello there. ", "   ", "\n\n\n", " \n x"])
def test_no_chunk_is_blank(text: str) -> None:
    """Leading whitespace belongs to the first sentence."""
    assert sentences(text) == [text]


def test_a_sentence_of_any_length_is_a_chunk() -> None:
    """If its words are not too long."""
    text = "word " * 400
    assert sentences(text) == [text]


def test_a_sentence_is_split_only_in_a_long_word() -> None:
    """A word of more than 200 characters is split."""
    text = "See " + "x" * 450 + " there."
    assert sentences(text) == ["See " + "x" * 200, "x" * 200, "x" * 50 + " there."]
    assert sentences("See " + "x" * 200 + " there.") == ["See " + "x" * 200 + " there."]


def test_chinese_without_a_stop_is_split_at_commas() -> None:
    """Without commas, at characters."""
    clause = "这个句子没有句号" * 10 + "，"
    assert sentences(clause * 4) == [clause * 2, clause * 2]
    assert sentences("字" * 450) == ["字" * 200, "字" * 200, "字" * 50]


def test_a_url_in_a_long_word_stays_whole() -> None:
    """A URL above 200 characters is split like a long word."""
    url = "https://example.com/" + "y" * 170
    assert sentences("(see:" + "x" * 50 + "," + url + ")") == ["(see:" + "x" * 50 + ",", url + ")"]
    assert sentences(url + "z" * 100) == [(url + "z" * 100)[:200], "z" * 90]


def test_sentences_are_grouped_above_a_thousand_chunks() -> None:
    """No group ends inside a sentence."""
    chunks = sentences("One is short. This one is a little longer. " * 2500)
    assert len(chunks) <= 1000
    assert all(chunk.endswith(". ") for chunk in chunks)
    assert max(map(len, chunks)) < 3 * min(map(len, chunks[:-1]))


DOCUMENTS = "\n\n".join(document.text for document in (README, README_ZH, API))


@pytest.mark.parametrize("times", [2, 9])
@pytest.mark.parametrize(
    "choose", [partial(chunkers._end_of_words, 20), chunkers._end_of_sentence], ids=["words", "sentences"]
)
def test_windows_change_no_chunk_of_a_document(times: int, choose: chunkers.Chooser) -> None:
    """A text of several windows has the chunks that a search of the whole text finds, code blocks included."""
    text = "\n\n".join([DOCUMENTS] * times)
    assert len(text) > 1.5 * chunkers.WINDOW
    assert list(chunkers._split_by_windows(text, choose)) == split_at(
        text, partial(choose, chunkers.BoundaryFinder(text))
    )


@pytest.mark.parametrize("chunk", [words, sentences])
def test_a_code_block_of_several_windows_is_split_at_its_lines(chunk: Chunker) -> None:
    """Each window knows that it starts in a block, and where the block ends."""
    code = "".join(f"value_{n} = one. Two(3)  # and. so on\n" for n in range(9000))
    text = f"See:\n\n> ~~~python\n{code}> ~~~\n\n" + "This is a sentence. " * 9000
    assert len(code) > 4 * chunkers.WINDOW
    chunks = chunk(text)
    assert "".join(chunks) == text
    ends = list(accumulate(map(len, chunks)))
    inside = range(text.index(code), text.index(code) + len(code))
    assert [end for end in ends if end in inside and text[end - 1] != "\n"] == []
    assert [end for end in ends if end not in inside and text[end - 1] not in " \n"] == []


def test_a_sentence_longer_than_a_window_is_split_at_words() -> None:
    """Blank text of that length is split too."""
    text = "word " * 40_000
    chunks = sentences(text)
    assert "".join(chunks) == text
    assert {chunk[-5:] for chunk in chunks} == {"word "}
    assert max(map(len, chunks)) < chunkers.WINDOW
    assert "".join(words(" " * 200_000)) == " " * 200_000


@pytest.mark.parametrize("chunk", [characters, words, sentences])
@pytest.mark.parametrize("cluster", ["e" + "\u0301" * 20_000, "\U0001f468\u200d" * 10_000, "क्" * 10_000])
def test_a_cluster_without_end_is_split(chunk: Chunker, cluster: str) -> None:
    """After more code points than any script needs."""
    chunks = chunk(cluster)
    assert "".join(chunks) == cluster
    assert max(map(len, chunks)) <= MAX_CLUSTER_LENGTH + chunkers.CHUNK_SIZE


def lateness(text: str, chunk: Chunker) -> tuple[list[str], float]:
    """Return the chunks, and by how many seconds another thread, which stands for the event loop, was late."""
    late = [0.0]
    chunks: list[str] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # as on the server
    try:
        worker = threading.Thread(target=lambda: chunks.extend(chunk(text)))
        worker.start()
        while worker.is_alive():
            began = time.perf_counter()
            time.sleep(0.001)
            late.append(time.perf_counter() - began)
    finally:
        sys.setswitchinterval(interval)
    began = time.perf_counter()
    schedule_chunks(chunks, 0.05)
    return chunks, max(*late, time.perf_counter() - began)


@pytest.mark.alone
@pytest.mark.parametrize("chunk", [characters, words, sentences])
@pytest.mark.parametrize("kind", LARGE_TEXTS)
def test_no_large_answer_delays_another_thread(kind: str, chunk: Chunker) -> None:
    """By more than 50 ms, in the best of three attempts, since the machine may be busy; nor does its pacing."""
    text = LARGE_TEXTS[kind]
    seconds = []
    while not seconds or (min(seconds) > 0.05 and len(seconds) < 3):
        chunks, late = lateness(text, chunk)
        seconds.append(late)
        assert "".join(chunks) == text
        assert len(chunks) <= MAX_CHUNKS
        assert all(chunks)
    assert min(seconds) < 0.05
