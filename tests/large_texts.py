"""Large texts of many kinds, for the tests of the time that each takes of the event loop."""

from __future__ import annotations

MEBI = 2**20
LARGE_TEXTS = {
    "dots": "." * (16 * MEBI - 8),  # two MiB of each of the others, which cost more per character
    "words without an end": "word " * (MEBI * 2 // 5),
    "families": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * (MEBI // 7),
    "one emoji without an end": "\U0001f468\u200d" * (MEBI // 2),
    "addresses": "see https://example.org/a/b?c=d " * (MEBI // 16),
    "one address": "https://" + "a" * (2 * MEBI),
    "colons and slashes": "://" * MEBI,
    "code spans": "` " * MEBI,
    "lines of code": "```\n" + "x = 1\n" * (MEBI // 3),
    "code blocks": "```\nx = 1\n```\n" * (MEBI // 7),
    "opening lines": "~~~\n" * (MEBI // 2),
    "quotes": '"' * (2 * MEBI),
    "stops and quotes": ".”" * MEBI,
    "stops and notes": ".[1]" * (MEBI // 2),
    "katakana": "カ" * (2 * MEBI),
    "flags": "🇩🇪" * (MEBI // 2),
    "marks": "e" + "\u0301" * MEBI,
    "initials": "J. R. " * (MEBI // 3),
    "spaces in code": "```\n" + "é" + " " * (2 * MEBI),
    "vowel signs": "कुखुगु" * (MEBI // 3),
    "one conjunct without an end": "क्" * MEBI,
    "conjuncts that are prevented": "क्\u200cख्\u200c" * (MEBI // 3),
}
