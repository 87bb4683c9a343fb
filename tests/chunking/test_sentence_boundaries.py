"""Full stops of abbreviations are distinguished from those that end a sentence."""

from __future__ import annotations

import pytest

from persona_stream.chunking.sentence_boundaries import is_abbreviation


def _is_first_stop_abbreviation(text: str) -> bool:
    stop = text.index(". ")
    return is_abbreviation(text, stop, stop + 2)


@pytest.mark.parametrize(
    "text",
    [
        *["Dr. Who", "He met Mr. Smith", "(e.g. This", "如Dr. Wang", "i.e. The", "vs. The", "“Prof. Li"],
        *["No. 5", "Fig. 2", "pp. 3", "Jan. 31"],
        *[
            "the U.S. Government",
            "Apple Inc. CEO",
            "apples, etc. Bananas",
            "at 5 a.m. Mr",
            "a Ph.D. Student",
            "et al. Nature",
        ],
        *["J. Tolkien", "Albert I. Jones"],
        *[
            "1. One",
            "  12. Twelve",
            "text\n3. Three",
            "> 4. Four",
            "### 5. Five",
            "a. First",
            "iv. Fourth",
            "**1. Bold",
        ],
    ],
)
def test_these_full_stops_end_no_sentence(text: str) -> None:
    """Abbreviations, initials and list numbers."""
    assert _is_first_stop_abbreviation(text)


@pytest.mark.parametrize(
    "text",
    [
        *["The end. Next", "No. That is wrong", "see the fig. Then", "In Jan. He left"],
        *["in the U.S. The", "by Apple Inc. It", "etc. And", "at 5 p.m. Then", "you and I. Did"],
        *[
            "in 2014. Next",
            "It costs 5. Next",
            "1994. A year",
            "Version 3.14. Next",
            "a verylongword. Next",
            "。好. 吗",
        ],
    ],
)
def test_these_full_stops_end_a_sentence(text: str) -> None:
    """Also after an ambiguous abbreviation."""
    assert not _is_first_stop_abbreviation(text)
