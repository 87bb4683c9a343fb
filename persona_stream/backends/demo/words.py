"""Cut a text into the terms that it is found by, in English and in Chinese.

A Latin word is one term, without its accents and endings; Chinese and Japanese have no spaces, so every two
neighbouring characters are a term. Words that say nothing of the subject are no terms.
"""

from __future__ import annotations

import re
import unicodedata

from persona_stream.backends.demo import stopwords

MOST_READ = 2_000
"""How many characters of a text are read: in a cooperative server, nobody else runs meanwhile."""

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = HAN + r"\u3005\u3040-\u30ff"
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)*)")

_PHRASE = re.compile("|".join(stopwords.CHINESE))
_UNDECOMPOSABLE = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe"})
_VOWEL = re.compile(r"[aeiouy]")


def terms(text: str) -> list[str]:
    """Give the terms of a text, in its order, each as often as it occurs."""
    found: list[str] = []
    for match in _WORD.finditer(_read(text)):
        if run := match["unspaced"]:
            found.extend(_pairs(run))
        elif (word := plain(match["word"])) not in stopwords.ENGLISH:
            found.append(stem(word))
    return found


def characters(text: str) -> list[str]:
    """Give the Chinese and Japanese characters of a text, without those that only serve its grammar."""
    runs = "".join(match["unspaced"] or "" for match in _WORD.finditer(_read(text)))
    return [character for character in runs if character not in stopwords.CHINESE_CHARACTERS]


def stem(word: str) -> str:
    """Take the common English endings off a word: ``rollups``, ``scaling`` and ``scaled`` become ``rollup``, ``scal``.

    It need not give a word, only the same for all forms of one. ``word`` is lower-case.
    """
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        start = word.removesuffix(ending)
        if start != word and len(start) >= 3 and _VOWEL.search(start):
            word = start[:-1] if start[-1] == start[-2] and start[-1] not in "lsz" else start
            break
    return word.removesuffix("e") if len(word) > 3 else word


def plain(word: str) -> str:
    """Give a word in lower case, without accents and without a possessive ending."""
    word = re.sub(r"['’]s$", "", word.casefold()).replace("'", "").replace("’", "")
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFKD", word.translate(_UNDECOMPOSABLE))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _read(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:MOST_READ])


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [] if run in stopwords.CHINESE_CHARACTERS else [run]
    pairs = (piece[start : start + 2] for piece in _PHRASE.split(run) for start in range(len(piece) - 1))
    return [pair for pair in pairs if stopwords.CHINESE_CHARACTERS.isdisjoint(pair)]
