"""Sentences of many languages, and the places at which they may not end."""

from __future__ import annotations

import pytest

from persona_stream.chunking.chunkers import sentences

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
    ["She works at Yahoo! in London. ", "She left Yahoo! ", "The end."],
]


@pytest.mark.parametrize("chunks", OF_MANY_LANGUAGES)
def test_sentences_of_many_languages_end_where_they_do(chunks: list[str]) -> None:
    """Their stops, ordinals, spaced abbreviations and quotation marks (fnl/syntok #28)."""
    assert sentences("".join(chunks)) == chunks
