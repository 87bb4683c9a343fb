"""Structure that the rules of sentence boundaries do not know: lists, tables, links, maths, wrapped lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.chunkers import sentences
from persona_stream.chunking.masking import MIN_WRAPPED_COLUMNS, running_text
from tests.chunking.fragments import ALL

MARKS = ["|", "[", "](", ")", "$", "\\(", "\\)", ". . .", "[...]", "•", "1. ", " 2. ", "a) ", " b) ", ":", "é"]
STRUCTURE = [*MARKS, "word " * 12]


@given(st.lists(st.sampled_from(ALL + STRUCTURE), max_size=30).map("".join), st.booleans())
def test_the_running_text_has_the_length_of_the_text(text: str, is_unspaced: bool) -> None:
    """For any text."""
    assert len(running_text(text, is_unspaced=is_unspaced)) == len(text)


@pytest.mark.parametrize(
    "chunks",
    [
        ["| What? Yes. | No! Then. |\n", "|---|---|\n", "Text. ", "Text."],
        ["See [FAQ (Why? How?)](a.html). ", "[Read it.](b) ", "Then [this! one](c) is next."],
        ["![A. B.](x.png) ", "[A [b. C] d.][ref] ", "Next."],
        ["If $a. B! c$ then \\(x. Y\\) holds. ", "It costs $5. ", "No, $6."],
        ["He said [...] that. ", "Then."],
        ["It was weak . . . and short. ", "It ended. . . ."],
        ["One. ", ". . . Two."],
        ["1. The first item ", "2. The second item ", "3. The third"],
        ["• 9. The first item ", "• 10. The second item"],
        ["a) One ", "b) Two"],
        ["1. Do it as in step 2. ", "Then stop."],
        ["Ես գնում եմ: ", "Այո:"],
        ["Ποιος είναι; ", "Εγώ."],
        ["سؤال وجواب: ", "ماذا حدث؟"],
    ],
)
def test_structure_is_no_sentence_end(chunks: list[str]) -> None:
    """And an item of a list is a sentence."""
    assert sentences("".join(chunks)) == chunks


WRAPPED = "A line of this width was probably wrapped by its author"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"{WRAPPED}\nand goes on.", 1),
        (f"- {WRAPPED}\n  and goes on.", 1),
        (f"> {WRAPPED}\n> and goes on.", 1),
        (f"{WRAPPED}, says\nPeter.", 1),
        ("从前有一座山，山上有一座庙，庙里有一个老和尚和一个小和尚，老和尚正在\n给小和尚讲故事。", 1),
        (f"{WRAPPED}\r\nand goes on.", 1),
        (f"{WRAPPED}.\nand goes on.", 2),
        (f"{WRAPPED}:\nand goes on.", 2),
        (f"{WRAPPED}\nPeter.", 2),
        (f"{WRAPPED}\n\nand goes on.", 2),
        (f"{WRAPPED}\n- and goes on.", 2),
        (f"{WRAPPED}\n2. and goes on.", 2),
        (f"- {WRAPPED}\nand goes on.", 2),
        (f"# {WRAPPED}\nand goes on.", 2),
        (f"{WRAPPED}  \nand goes on.", 2),
        (f"```\n{WRAPPED}\nand goes on.\n```", 4),
        ("Shall I compare thee\nto a summer's day", 2),
    ],
)
def test_a_wrapped_line_ends_no_sentence(text: str, count: int) -> None:
    """Verses, items, headings, hard breaks and code do."""
    assert len(WRAPPED) >= MIN_WRAPPED_COLUMNS
    chunks = sentences(text)
    assert "".join(chunks) == text
    assert len(chunks) == count
