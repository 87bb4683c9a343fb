"""Full stops of abbreviations are distinguished from those that end a sentence."""

from __future__ import annotations

import pytest

from persona_stream.chunking.chunkers import sentences
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


OF_MANY_LANGUAGES = [
    ["မင်္ဂလာပါ။ ", "နေကောင်းလား။"],  # codelibs/fess #3228
    ["សួស្តី។ ", "ល្អ។"],
    ["ሰላም። ", "ደህና።"],
    ["Բարեւ։ ", "Լավ եմ։"],
    ["བོད་ཡིག། ", "ཡིན།"],
    ["Am 3. Oktober war es so weit. ", "Das ist z. B. ein Test."],  # diasks2/pragmatic_segmenter #76
    ["Ich habe am 3. Juni Geburtstag. ", "Jonas ist Fan vom 1. FC Köln, und du? ", "Dies ist nun der 17. Versuch."],
    [
        "Die 9. Symphonie Beethovens. ",
        "Jeder 7. Tag ist ein Mittwoch. ",
        "Am 2. Tag war Ruhe.",
    ],  # stanfordnlp/stanza #617
    ["Die Kosten betrugen etwa 5 Mio. Euro. ", "Das ist viel."],  # speedyk-005/yasbd-lib #301
    ["Das ist i. d. R. Standard. ", "Ja."],
    ["Il dit : « Bonjour ! » puis s'en va. ", "« Salut ! » ", "Il part."],  # nipunsadvilkar/pySBD #132
    ["Léa dit : « Bonjour ! ", "Je suis Léa. » ", "Marc répond."],  # explosion/spaCy #13883
    ["Er sagte es. ", "»Hallo!« Dann ging er."],
    ["I am 30. ", "He is 40. ", "Jane is 3. ", "Then he left."],
    ["This is plan B. ", "It helps."],
]


@pytest.mark.parametrize("chunks", OF_MANY_LANGUAGES)
def test_sentences_of_many_languages_end_where_they_do(chunks: list[str]) -> None:
    """Their stops, ordinals, spaced abbreviations and quotation marks (fnl/syntok #28)."""
    assert sentences("".join(chunks)) == chunks
