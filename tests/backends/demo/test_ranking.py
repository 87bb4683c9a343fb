"""Ranking: which notes have to do with a question, and which the most."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.backends.demo.ranking import Ranking
from persona_stream.backends.demo.words import characters, terms
from persona_stream.personas.persona import KnowledgeItem
from tests.backends.demo.people import BRIDGE, MEI, MUSIC, RADIUM, RIVER, TEA, note

RANKING = Ranking(MEI.notes)


def ranked(question: str, ranking: Ranking = RANKING) -> list[KnowledgeItem]:
    asked = dict.fromkeys([*terms(question), *characters(question)], 1.0)
    return [match.note for match in ranking.rank(asked)]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Do you like tea?", [TEA]),
        ("tell me about the river", [RIVER]),
        ("old bridges", [BRIDGE]),
        ("你会拉小提琴吗", [MUSIC]),
        ("喜欢什么音乐", [MUSIC]),
        ("镭是什么", [RADIUM]),
        ("绿茶 or music?", [TEA, MUSIC]),
        ("a stone bridge over a river", [BRIDGE]),
        ("pizza", []),
        ("", []),
        ("的", []),
    ],
)
def test_a_question_finds_its_notes_in_either_language(question: str, found: Sequence[KnowledgeItem]) -> None:
    """The best one comes first, and what has nothing to do with it does not come."""
    assert ranked(question) == list(found)


def test_one_common_word_in_a_text_proves_nothing() -> None:
    """ "Dawn" stands in one note, and its subject is another; with a second word of that text it is meant."""
    assert ranked("the dawn of computers") == []
    assert ranked("who drinks at dawn") == [TEA]


def test_less_than_half_of_a_topic_is_not_asked_for() -> None:
    """Of a topic of three words, one is no sign."""
    ranking = Ranking([note("proof of personhood registry", "人格证明", "Text.", "文字。")])
    assert ranked("a proof", ranking) == []
    assert len(ranked("proof of personhood", ranking)) == 1


def test_a_rare_word_counts_more_than_one_that_every_note_has() -> None:
    """Where all notes are about boats, "boat" decides nothing."""
    notes = [note(f"boat {word}", "船", f"A boat and {word}.", "船。") for word in ("oars", "sails", "ropes")]
    assert ranked("sails of a boat", Ranking(notes))[0] is notes[1]


def test_a_topic_with_many_names_is_one_topic() -> None:
    """Saying a subject in three ways in a profile does not lift the note over one that fits better."""
    many = note("sea", "海", "Waves.", "浪。", "the sea", "Sea", "seas")
    fits = note("sea birds", "海鸟", "Gulls live by the sea, and birds rest.", "海鸥。")
    assert ranked("sea birds", Ranking([many, fits])) == [fits]


def test_what_fits_much_worse_than_the_best_is_left_out() -> None:
    """A note that shares one word of a long question is no answer to it."""
    best = note("green tea ceremony", "茶道", "The green tea ceremony takes hours.", "茶道要几个小时。")
    faint = note("hours", "小时", "Ferries.", "渡船。")
    assert ranked("how many hours does the green tea ceremony take", Ranking([best, faint])) == [best]


def test_notes_nearby_share_a_topic_and_exclude_what_is_told() -> None:
    """The bridge is near the river; the violin is near nothing."""
    assert RANKING.nearby(BRIDGE, besides=[BRIDGE]) == [RIVER]
    assert RANKING.nearby(BRIDGE, besides=[BRIDGE, RIVER]) == []
    assert RANKING.nearby(MUSIC, besides=[MUSIC]) == []


def test_a_profile_without_notes_finds_nothing() -> None:
    """And does not fail over its average length."""
    assert ranked("tea", Ranking([])) == []


def test_it_knows_the_terms_of_its_notes() -> None:
    """Topics and texts, and nothing else."""
    assert [term for term in ("镭", "tea", "dawn", "pizza") if RANKING.knows(term)] == ["镭", "tea", "dawn"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["tea", "river", "stone", "bridg", "violin", "镭", "water", "x"]), st.just(1.0)))
def test_scores_fall_and_every_match_is_a_note(asked: dict[str, float]) -> None:
    """Whatever is asked: positive scores, in order, each note at most once."""
    matches = RANKING.rank(asked)
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)
    assert len({id(match.note) for match in matches}) == len(matches)


@settings(deadline=None)
@given(st.permutations(["tea", "river", "stone", "water"]), st.floats(0.1, 10))
def test_neither_order_nor_scale_of_the_question_matters(asked: list[str], weight: float) -> None:
    """A ranking depends on what is asked, not on how it is put."""
    plain = [match.note for match in RANKING.rank(dict.fromkeys(sorted(asked), 1.0))]
    assert [match.note for match in RANKING.rank(dict.fromkeys(asked, weight))] == plain
