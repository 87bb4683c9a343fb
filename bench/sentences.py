"""Sentences of the chunker beside those of four segmenters: golden rules followed, collected sentences, and time."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from collections.abc import Iterator
from itertools import accumulate, cycle, islice, pairwise
from typing import NamedTuple

from bench import procfs
from bench.processor_time import microseconds
from bench.report import write_section
from bench.servers import ROOT
from persona_stream.chunking.chunkers import sentences
from tests.chunking.cases import COLLECTED, collected, golden_rules

PEERS_PYTHON = ROOT / ".venv-sentences/bin/python"
TARGET = ROOT / "docs/CHUNKING.md"
TIMED_LENGTH = 500  # characters
TIMED = ("en", "de", "zh", "ja")
LANGUAGES = {"chinese": "zh", "japanese": "ja", "markdown": "en", "mixed": "en"}


class Measured(NamedTuple):
    """Sentences of all texts by the name of their cases, and microseconds for the timed text of a language."""

    cases: dict[str, list[list[str]]]
    timed: dict[str, float]


def _texts() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the texts of the golden rules by language, and the collected ones by name."""
    golden = {language: [text for text, _ in rules] for language, rules in golden_rules().items()}
    return golden, {name: ["".join(case) for case in collected(name)] for name in COLLECTED}


def _timed(golden: dict[str, list[str]], found: dict[str, list[str]]) -> dict[str, str]:
    """Return texts of ``TIMED_LENGTH`` characters: prose where there is some, otherwise golden rules, repeated."""
    texts = golden | {LANGUAGES[name]: found[name] for name in ("chinese", "japanese")}
    return {language: "".join(islice(cycle(" ".join([*texts[language], ""])), TIMED_LENGTH)) for language in TIMED}


def _measure_peers(cases: dict[str, tuple[str, list[str]]], timed: dict[str, str]) -> dict[str, Measured]:
    command = [PEERS_PYTHON, "-m", "bench.peers.sentence_segmenters"]
    request = json.dumps({"cases": cases, "timed": timed})
    done = subprocess.run(command, cwd=ROOT, input=request, stdout=subprocess.PIPE, text=True, check=True)
    return {name: Measured(**measured) for name, measured in json.loads(done.stdout).items()}


def _spans(chunks: list[str]) -> set[tuple[int, int]]:
    """Return the start and end of each sentence, not counting blanks, which segmenters treat differently."""
    lengths = (len("".join(chunk.split())) for chunk in chunks)
    return set(pairwise(accumulate(lengths, initial=0)))


def followed(found: list[list[str]], expected: list[list[str]]) -> int:
    """Return how many texts have exactly the expected sentences, without the blanks around them."""
    return sum([chunk.strip() for chunk in one] == other for one, other in zip(found, expected, strict=True))


def matched(found: list[list[str]], expected: list[list[str]]) -> float:
    """Return the percentage of the expected sentences that start and end where they should."""
    spans = [(_spans(one), _spans(other)) for one, other in zip(found, expected, strict=True)]
    return 100 * sum(len(one & other) for one, other in spans) / sum(len(other) for _, other in spans)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _tables() -> Iterator[str]:
    golden, found = _texts()
    timed = _timed(golden, found)
    cases = {name: (LANGUAGES.get(name, name), texts) for name, texts in (golden | found).items()}
    ours = Measured(
        {name: [sentences(text) for text in texts] for name, (_, texts) in cases.items()},
        {language: microseconds(lambda: sentences(text)) for language, text in timed.items()},  # noqa: B023  called at once
    )
    measured = {"`sentences`": ours} | _measure_peers(cases, timed)
    heads = _row("", *measured)
    line = _row(*["---"] * (len(measured) + 1))

    yield from ["Golden rules followed, by an exact match of all sentences of a text:", "", heads, line]
    totals = dict.fromkeys(measured, 0)
    for language, rules in golden_rules().items():
        expected = [list(chunks) for _, chunks in rules]
        counts = {name: followed(one.cases[language], expected) for name, one in measured.items()}
        totals = {name: total + counts[name] for name, total in totals.items()}
        yield _row(f"{language}, of {len(rules)}", *counts.values())
    yield _row(f"**all {sum(map(len, golden.values()))}**", *(f"**{total}**" for total in totals.values()))

    yield from ["", "Collected sentences that start and end where a reader separated them:", "", heads, line]
    for name in found:
        expected = collected(name)
        shares = (matched(one.cases[name], expected) for one in measured.values())
        yield _row(name.capitalize(), *(f"{share:.0f} %" for share in shares))

    yield from ["", f"Processor time for {TIMED_LENGTH} characters, in µs:", "", heads, line]
    for language in TIMED:
        yield _row(language, *(f"{one.timed[language]:,.0f}" for one in measured.values()))

    yield ""
    yield (
        "pySBD wrote the golden rules. syntok has rules for English, Spanish and German alone. sentencex is written in"
        " Rust, ICU in C++; the others in Python. The collected sentences helped to write the rules of `sentences`, so"
        " its shares are those of known texts. The timed texts are golden rules in English and German, and prose in"
        " Chinese and Japanese."
    )
    yield ""
    yield f"Machine: {procfs.machine()}; CPython {platform.python_version()}; {datetime.date.today()}."


def run() -> None:
    """Print the tables, and write them to docs/CHUNKING.md."""
    text = "\n".join(_tables())
    print(text)
    write_section(TARGET, "make bench ARGS=--sentences", text)
    print(f"\nwritten: {TARGET}")
