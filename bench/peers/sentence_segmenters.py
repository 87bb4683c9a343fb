"""Sentence segmenters beside which ``bench.sentences`` measures the chunker; they have an environment of their own.

Reads ``{"cases": {name: [language, [text, ...]]}, "timed": {language: text}}`` as JSON from stdin. Prints, by the name
of a segmenter, the sentences of all texts by the name of their cases, and the microseconds of processor time for each
timed text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

import pysbd
import sentencex
from icu4py.breakers import SentenceBreaker
from pysbd.languages import LANGUAGE_CODES
from syntok import segmenter

from bench.processor_time import microseconds

Segment = Callable[[str, str], Iterable[str]]
"""Returns the sentences of a text in a language, which is named by its ISO 639-1 code."""

_PYSBD = {language: pysbd.Segmenter(language=language, clean=False) for language in LANGUAGE_CODES}


def _segment_by_syntok(_: str, text: str) -> Iterator[str]:
    """Yield the sentences that syntok finds, which has rules for English, Spanish and German and no parameter."""
    for paragraph in segmenter.analyze(text):
        for tokens in paragraph:
            yield text[tokens[0].offset : tokens[-1].offset + len(tokens[-1].value)]


SEGMENTERS: dict[str, Segment] = {
    f"pysbd {version('pysbd')}": lambda language, text: _PYSBD[language].segment(text),
    f"sentencex {version('sentencex')}": sentencex.segment,
    f"syntok {version('syntok')}": _segment_by_syntok,
    f"ICU (icu4py {version('icu4py')})": lambda language, text: SentenceBreaker(text, language),
}


def _measure(segment: Segment, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "cases": {
            name: [list(segment(code, text)) for text in texts] for name, (code, texts) in request["cases"].items()
        },
        "timed": {code: microseconds(lambda: list(segment(code, text))) for code, text in request["timed"].items()},  # noqa: B023  called at once
    }


if __name__ == "__main__":
    request = json.load(sys.stdin)
    json.dump({name: _measure(segment, request) for name, segment in SEGMENTERS.items()}, sys.stdout)
