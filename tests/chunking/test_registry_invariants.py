"""The invariants of chunking hold for every chunker and every text."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from persona_stream.chunking.chunkers import MAX_CHUNKS, characters, sentences, words
from persona_stream.chunking.registry import Chunker, enforce_invariants
from tests.chunking.fragments import (
    ABBREVIATIONS,
    BLANKS,
    CODE_SPANS,
    MARKS,
    NUMBERS,
    URLS,
    WIDE,
    WORDS,
    boundaries,
    cuts,
    texts,
)

SHIPPED = [characters, words, sentences]
chunkers = st.sampled_from(SHIPPED)


@given(texts(), chunkers)
def test_the_chunks_of_any_text_fulfil_the_invariants(text: str, chunk: Chunker) -> None:
    """The chunks join to the text, none is empty, and none ends inside a grapheme cluster."""
    chunks = list(chunk(text))
    assert "".join(chunks) == text
    assert all(chunks)
    assert set(cuts(chunks)) <= boundaries(text)


@settings(max_examples=6)
@given(texts(max_fragments=8), st.integers(500, 2000), chunkers)
def test_a_long_text_has_at_most_a_thousand_chunks(text: str, times: int, chunk: Chunker) -> None:
    """The chunks of a long text join to the text and are not empty."""
    text *= times
    assume(len(text) < 50_000)
    chunks = list(chunk(text))
    assert "".join(chunks) == text
    assert all(chunks)
    assert len(chunks) <= MAX_CHUNKS


_around = [
    " ",
    "\n",
    "，",
    "。",
    "中",
    ". ",
    "、",
    "（",
    "）",
    "是",
    "コ",
    "ส",
    ": ",
    "! ",
    "“",
    "”",
    " x ",
    *MARKS[:6],
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(WORDS + WIDE + BLANKS),
            st.sampled_from(_around),
            st.sampled_from(URLS + NUMBERS + ABBREVIATIONS + CODE_SPANS),
            st.sampled_from(_around),
        ),
        max_size=8,
    ),
    st.sampled_from([words, sentences]),
)
@example([("a", " ", URLS[0], "中"), ("a", "中", "３．１４", " ")], words)
def test_urls_numbers_abbreviations_and_code_stay_whole(parts: list[tuple[str, str, str, str]], chunk: Chunker) -> None:
    """No chunk of words or sentences ends inside one of them."""
    text, whole = "", []
    for before, left, thing, right in parts:
        text += before + left
        whole.append(range(len(text) + 1, len(text) + len(thing)))
        text += thing + right
    chunks = list(chunk(text))
    for cut in cuts(chunks):
        assert not any(cut in inside for inside in whole), chunks


_code_lines = st.lists(
    st.sampled_from(
        ["x = 1", "    return f(a, b). c! d", "", "# 你好。再见，世界", "`a` ~~ b", "1. one. Two", "\tz", "https://a.b"]
    ),
    max_size=6,
)


@given(
    st.sampled_from(["", "Text. And text.\n", "- item\n\n"]),
    st.sampled_from(
        [("```", "```"), ("~~~", "~~~"), ("````python", "`````"), ("  ```", "  ```"), ("- ```", "  ```"), ("```", None)]
    ),
    _code_lines,
    st.sampled_from([words, sentences]),
)
def test_a_fenced_block_is_split_only_at_its_lines(
    before: str, fence: tuple[str, str | None], code: list[str], chunk: Chunker
) -> None:
    """So is a block that is never closed."""
    opening, closing = fence
    block = "\n".join([opening, *code] if closing is None else [opening, *code, closing])
    text = before + block + ("" if closing is None else "\nMore text. The end.")
    inside = range(len(before) + 1, len(before) + len(block))
    for cut in cuts(list(chunk(text))):
        assert cut not in inside or text[cut - 1] == "\n", text


# Linear time takes some hundredths of a second; quadratic time would exceed the timeout.
@pytest.mark.timeout(10)
@pytest.mark.parametrize("chunk", SHIPPED)
@pytest.mark.parametrize(
    "unit",
    [
        *[
            "a",
            "7",
            "`",
            "(",
            "（",
            ".",
            "。",
            "\n",
            "\r\n",
            " ",
            "\u0301",
            "e\u0301",
            "\U0001f1e9",
            "👨\u200d",
            "क्",
            "\u1100",
            "中",
        ],
        *[
            "ก",
            "カ",
            "a.",
            "1.",
            "A. ",
            "a ",
            "`a` ",
            "` `` ``` ```` ",
            "```\n",
            "~~~\na\n",
            "://",
            "。**",
            '."',
            "[1]",
            ".[1]",
        ],
        *[
            "“",
            "“？”",
            "「字",
            "(字",
            "[",
            "[a.](b)",
            "$",
            "\\(",
            "\\[a",
            "|",
            "|\n",
            ". . ",
            "[...]",
            "1. a 2. ",
            "• 1. ",
        ],
        *["x" * 70 + "\n", "字" * 40 + "\n", "ad es. ", "3. 10. 2026 ", "a.m. Mr. ", "a: "],
        *["> ", "- ", "\n ", ". " + " " * 99, "1．", "x" * 200 + " ", "http://a.b/c. ", "\U0001f1e9\u0301", "\ud800"],
    ],
)
def test_repetitive_text_is_split_in_linear_time(unit: str, chunk: Chunker) -> None:
    """The time does not depend on the repeated unit."""
    text = unit * (30_000 // len(unit))
    chunks = list(chunk(text))
    assert "".join(chunks) == text
    assert all(chunks)
    assert len(chunks) <= MAX_CHUNKS


@given(texts(), st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_the_invariants_are_enforced_for_a_custom_chunker(text: str, sizes: list[int]) -> None:
    """Its own boundaries are kept where the invariants allow it."""

    def careless(text: str) -> list[str]:
        chunks, at = [], 0
        for size in sizes:
            chunks.append(text[at : at + size])
            at += size
        return [*chunks, text[at:]]

    chunks = enforce_invariants("careless", careless)(text)
    assert "".join(chunks) == text
    assert all(chunks)
    assert set(cuts(chunks)) <= boundaries(text)
    assert set(cuts(chunks)) >= set(cuts(careless(text))) & boundaries(text) - {0}


def test_excess_chunks_are_merged() -> None:
    """Neighbouring chunks are merged evenly."""
    assert enforce_invariants("letters", list)("x" * 1000) == ["x"] * 1000
    assert enforce_invariants("letters", list)("x" * 2500) == ["xxx"] * 833 + ["x"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda text: [text[:2], text[3:]], "the chunker 'wrong' changed the text at character 2"),
        (lambda text: [text.upper()], "the chunker 'wrong' changed the text at character 0"),
        (lambda text: [text, "!"], "the chunker 'wrong' changed the text at character 5"),
        (lambda text: iter(lambda: "h", None), "the chunker 'wrong' changed the text at character 1"),
        (lambda text: [b"hello"], "the chunker 'wrong' changed the text at character 0"),
        (lambda text: [text[:2]], "the chunker 'wrong' dropped the text after character 2"),
        (lambda text: [], "the chunker 'wrong' dropped the text after character 0"),
    ],
)
def test_a_chunker_that_changes_the_text_is_rejected(wrong: Chunker, sentence: str) -> None:
    """The error names the chunker and the position."""
    with pytest.raises(ValueError, match=sentence):
        enforce_invariants("wrong", wrong)("hello")
