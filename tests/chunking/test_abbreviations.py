"""Full stops of abbreviations, initials, ordinals and list numbers, and the lists of the languages."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from importlib import resources

import pytest

from persona_stream.chunking.abbreviations import (
    MAX_ABBREVIATION_LENGTH,
    MAX_ABBREVIATION_LETTERS,
    Kind,
    is_abbreviation,
    is_exclaimed_name,
    lexicon,
)

FILES = list(resources.files("persona_stream.chunking").joinpath("languages").iterdir())


def _is_first_stop_abbreviation(text: str) -> bool:
    stop = text.index(". ")
    return is_abbreviation(text, stop, stop + 2)


@pytest.mark.parametrize(
    "text",
    [
        *["Dr. Who", "He met Mr. Smith", "(e.g. This", "如Dr. Wang", "i.e. The", "vs. The", "“Prof. Li"],
        *["No. 5", "Fig. 2", "pp. 3", "Jan. 31", "at N°. 1026"],
        *[
            "the U.S. Government",
            "Apple Inc. CEO",
            "apples, etc. Bananas",
            "At 5 a.m. Mr",
            "a Ph.D. Student",
            "et al. Nature",
        ],
        *["J. Tolkien", "Albert I. Jones", "P. Smith", "А. Семенов"],
        *[
            "1. One",
            "  12. Twelve",
            "text\n3. Three",
            "> 4. Four",
            "### 5. Five",
            "• 9. Nine",
            "a. First",
            "iv. Fourth",
            "**1. Bold",
        ],
        *["der 17. Versuch", "im 3. Stock", "vom 12. Juni", "am 3. 10. 2026", "Ende 19. Jahrhundert"],
        *["Hola Srta. Ledesma", "l'Avv. Cassioni", "(ad es. RAM", "проф. Семенов", "napr. XYZ", "bijv. Jan"],
    ],
)
def test_these_full_stops_end_no_sentence(text: str) -> None:
    """Abbreviations, initials, ordinals and list numbers."""
    assert _is_first_stop_abbreviation(text)


@pytest.mark.parametrize(
    "text",
    [
        *["The end. Next", "No. That is wrong", "see the fig. Then", "In Jan. He left"],
        *["in the U.S. The", "by Apple Inc. It", "etc. And", "at 5 p.m. Then", "you and I. Did"],
        *["left the bank at 6 P.M. Mr. Smith", "usw. Der", "в 1898 г. Он", "33.8 °F. ¿A"],
        *[
            "in 2014. Next",
            "It costs 5. Next",
            "1994. A year",
            "Version 3.14. Next",
            "a verylongword. Next",
            "。好. 吗",
            "I am 30. He",
        ],
    ],
)
def test_these_full_stops_end_a_sentence(text: str) -> None:
    """Also after an ambiguous abbreviation."""
    assert not _is_first_stop_abbreviation(text.replace("3.14", "3,14"))


def test_a_name_may_end_with_an_exclamation_mark() -> None:
    """Other words may not."""
    text = "at Yahoo! in"
    assert is_exclaimed_name(text, text.index("!"))
    assert not is_exclaimed_name("Hello! in", 5)


def test_a_word_has_one_kind_in_all_languages() -> None:
    """All lists apply to every text, so they must not contradict each other."""
    found = defaultdict(set)
    for file in FILES:
        lists = tomllib.loads(file.read_text("utf-8"))
        for kind in Kind:
            for word in lists.get(kind.value, "").split():
                found[word].add(kind)
    assert {word: kinds for word, kinds in found.items() if len(kinds) > 1} == {}
    assert len(found) > 300


def test_every_listed_abbreviation_can_be_found() -> None:
    """It is in lower case, and no longer than the part of the text that is compared with it."""
    for word in lexicon().kinds:
        last = word.rpartition("_")[2]
        assert word == word.lower()
        assert len(last) <= MAX_ABBREVIATION_LENGTH
        assert max(map(len, last.split("."))) <= MAX_ABBREVIATION_LETTERS
        assert not last.endswith(".")


@pytest.mark.parametrize("word", sorted(word for word, kind in lexicon().kinds.items() if kind is Kind.NEVER_LAST))
def test_no_sentence_ends_with_an_abbreviation_of_any_language(word: str) -> None:
    """Also not before a word that starts one."""
    assert _is_first_stop_abbreviation(f"x {word.replace('_', ' ')}. The")


# Frequent short words that may end a sentence.
ORDINARY = """
    the be to of and in that have it for not on with he as you do at this but his by from they we say her she or an will
    my one all would there their what so up out if about who get which go me when make can like time just him know take
    people into year your good some could them see other than then now look only come its over think also back after use
    two how our work first well way even new want any these give day most us man men old eat boy girl ago end run ran
    mar sun sea sky red art min set out fan arm tell far far cat dog car job law war name home life hand part place
    case week point fact eye face door room book word food page dir mir ihn ihm da gut ja nein tun sie er wir gehen
    moi toi lui ici bien non oui pas mal mieux fin mar sol casa vida sí no bien más mí ti ella sempre mai qui bene ora
"""


@pytest.mark.parametrize("word", sorted(set(ORDINARY.split())))
def test_an_ordinary_word_ends_a_sentence(word: str) -> None:
    """The lists have no word that often ends a sentence of another language."""
    assert not _is_first_stop_abbreviation(f"so {word}. The")
    assert not _is_first_stop_abbreviation(f"so {word}. Peter")
