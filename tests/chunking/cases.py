"""Texts with their sentences: pySBD's golden rules, and the files of ``data`` with the mark of a boundary in them."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from pathlib import Path

DATA = Path(__file__).parent / "data"
BOUNDARY = "‖"
COLLECTED = ("chinese", "japanese", "markdown", "mixed")


def golden_rules() -> dict[str, list[tuple[str, list[str]]]]:
    """Return the texts of each language with their sentences, without blanks around them."""
    rules = json.loads((DATA / "golden_rules.json").read_text("utf-8"))
    del rules["source"]
    return {
        language: [(case["text"], case["sentences"]) for case in cases]
        for language, cases in rules.items()
    }  # fmt: skip


def collected(name: str) -> list[list[str]]:
    """Return the sentences of each text of a file, blanks included."""
    text = (DATA / f"{name}.txt").read_text("utf-8").removesuffix("\n")
    if name == "markdown":
        cases = text.split("\n====\n")
    else:
        cases = [line for line in text.split("\n") if not line.startswith("#")]
    return [case.split(BOUNDARY) for case in cases]


def spans(chunks: list[str]) -> set[tuple[int, int]]:
    """Return the start and end of each chunk in the text."""
    return set(pairwise(accumulate(map(len, chunks), initial=0)))
