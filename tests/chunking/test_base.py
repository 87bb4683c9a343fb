"""The law of chunking holds for every chunker and every text."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from persona_stream.chunking.base import MAX_CHUNKS, Chunker, enforce_invariants
from persona_stream.chunking.chunkers import characters, sentences, words
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
def test_any_text(text: str, chunk: Chunker) -> None:
    """The pieces join to the text, none is empty, and none ends inside a grapheme cluster."""
    pieces = list(chunk(text))
    assert "".join(pieces) == text
    assert all(pieces)
    assert set(cuts(pieces)) <= boundaries(text)


@settings(max_examples=6)
@given(texts(largest=8), st.integers(500, 2000), chunkers)
def test_long_text(text: str, times: int, chunk: Chunker) -> None:
    """However long a text is, it has at most 1,000 pieces, which keep the law."""
    text *= times
    assume(len(text) < 50_000)
    pieces = list(chunk(text))
    assert "".join(pieces) == text
    assert all(pieces)
    assert len(pieces) <= MAX_CHUNKS


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
def test_whole_things(parts: list[tuple[str, str, str, str]], chunk: Chunker) -> None:
    """No piece of words or sentences ends inside an address, a number, an abbreviation or a code span."""
    text, whole = "", []
    for before, left, thing, right in parts:
        text += before + left
        whole.append(range(len(text) + 1, len(text) + len(thing)))
        text += thing + right
    pieces = list(chunk(text))
    for cut in cuts(pieces):
        assert not any(cut in inside for inside in whole), pieces


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
def test_fenced_block(before: str, fence: tuple[str, str | None], code: list[str], chunk: Chunker) -> None:
    """A fenced block is cut only at its lines, also one that is never closed."""
    opening, closing = fence
    block = "\n".join([opening, *code] if closing is None else [opening, *code, closing])
    text = before + block + ("" if closing is None else "\nMore text. The end.")
    inside = range(len(before) + 1, len(before) + len(block))
    for cut in cuts(list(chunk(text))):
        assert cut not in inside or text[cut - 1] == "\n", text


# It takes some hundredths of a second; were it quadratic, it would take far more than this.
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
        *["> ", "- ", "\n ", ". " + " " * 99, "1．", "x" * 200 + " ", "http://a.b/c. ", "\U0001f1e9\u0301", "\ud800"],
    ],
)
def test_hostile_text(unit: str, chunk: Chunker) -> None:
    """A text of nothing but one awkward thing is cut in time that grows with its length, and with nothing else."""
    text = unit * (30_000 // len(unit))
    pieces = list(chunk(text))
    assert "".join(pieces) == text
    assert all(pieces)
    assert len(pieces) <= MAX_CHUNKS


@given(texts(), st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_a_chunker_of_somebody_else(text: str, sizes: list[int]) -> None:
    """The law is kept for a chunker that knows nothing of it, and its own cuts with it where they are lawful."""

    def careless(text: str) -> list[str]:
        pieces, at = [], 0
        for size in sizes:
            pieces.append(text[at : at + size])
            at += size
        return [*pieces, text[at:]]

    pieces = enforce_invariants("careless", careless)(text)
    assert "".join(pieces) == text
    assert all(pieces)
    assert set(cuts(pieces)) <= boundaries(text)
    assert set(cuts(pieces)) >= set(cuts(careless(text))) & boundaries(text) - {0}


def test_too_many_pieces() -> None:
    """A chunker that makes more than 1,000 pieces has neighbours joined, evenly."""
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
        (lambda text: [text[:2]], "the chunker 'wrong' lost the text from character 2 on"),
        (lambda text: [], "the chunker 'wrong' lost the text from character 0 on"),
    ],
)
def test_a_chunker_that_does_not_join(wrong: Chunker, sentence: str) -> None:
    """A chunker whose pieces do not join to the text is told so, with its name and the place."""
    with pytest.raises(ValueError, match=sentence):
        enforce_invariants("wrong", wrong)("hello")
