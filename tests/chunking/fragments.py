"""Text fragments and strategies for the tests of chunking."""

from __future__ import annotations

import regex
from hypothesis import strategies as st

CLUSTERS = [
    "é",
    "e\u0301",
    "e\u0301\u0302\u0323",
    "👍🏽",
    "👨‍👩‍👧‍👦",
    "❤️",
    "❤️‍🔥",
    "🇩🇪",
    "🇯🇵",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "1️⃣",
    "#️⃣",
    "क्षि",
    "न्त्र",
    "नि",
    "कु",
    "क्\u200c",
    "က္က",
    "กำ",
    "ที่",
    "한",
    "\u1112\u1161\u11ab",
    "\r\n",
    "か\u3099",
    "葛\U000e0100",
    "\u0600١",
    "\u1100\u1100\u1161",
]
# Parts of clusters, which may join to adjacent characters.
LOOSE = ["\u0301", "\u200d", "\ufe0f", "\u20e3", "\U0001f1e9", "🏽", "\u094d", "\u0600", "\u1161", "\u11a8", "\r", "\n"]

URLS = [
    "https://ethereum.org/en/whitepaper/?a=b.c&d=1,2#e",
    "http://127.0.0.1:5000/",
    "https://zh.wikipedia.org/wiki/以太坊",
    "ftp://a.b/c!d?e",
]
NUMBERS = [
    "3.14",
    "1,000",
    "1,000,000.50",
    "1.5e-3",
    "192.168.0.1",
    "2026-11-20",
    "12:30",
    "１，０００",
    "３．１４",
    "v1.2.3",
]
ABBREVIATIONS = ["e.g.", "i.e.", "Dr.", "U.S.", "Inc.", "etc.", "a.m.", "Ph.D."]
CODE_SPANS = ["`a b`", "`` `x. y` ``", "`foo. Bar! 你好。再见`", "```a. b```", "`print('1. 2')`"]
WHOLE = URLS + NUMBERS + ABBREVIATIONS + CODE_SPANS

WORDS = ["a", "the", "word", "Hello", "naïve", "don’t", "co-founder", "Привет", "안녕하세요", "x" * 19, "y" * 45]
WIDE = [
    "你好",
    "以太坊是一个平台",
    "世",
    "これは",
    "コンピューター",
    "っています",
    "สวัสดีครับ",
    "ภาษาไทย",
    "第3章",
    "11月20日",
]
MARKS = [
    ". ",
    "! ",
    "? ",
    "... ",
    ", ",
    "。",
    "！",
    "？",
    "；",
    "……",
    "，",
    "、",
    "：",
    "。”",
    "！」",
    "？）",
    '." ',
    ".) ",
    ".** ",
]
OPENERS = ["“", "「", "（", "《", '"', "(", "**", "- ", "1. ", "> ", "# "]
BLANKS = [" ", "  ", "\n", "\n\n", "\n    ", "\t", "\xa0", "\u3000"]
FENCES = [
    "\n```python\ndef f(x):\n    return x. y! 你好。\n\n```\n",
    "\n~~~\na b. c\n~~~~\n",
    "\n```\nunclosed. Block\n",
]

ALL = CLUSTERS + LOOSE + WHOLE + WORDS + WIDE + MARKS + OPENERS + BLANKS + FENCES


def texts(*, max_fragments: int = 30) -> st.SearchStrategy[str]:
    """Return a strategy for texts of fragments in any order."""
    return st.lists(st.sampled_from(ALL), max_size=max_fragments).map("".join)


def boundaries(text: str) -> set[int]:
    """Return the ends of the clusters of a text, by a full scan."""
    ends = {0}
    at = 0
    for cluster in regex.findall(r"\X", text):
        at += len(cluster)
        ends.add(at)
    return ends


def cuts(chunks: list[str]) -> list[int]:
    """Return the ends of the chunks of a text."""
    ends = []
    at = 0
    for chunk in chunks:
        at += len(chunk)
        ends.append(at)
    return ends
