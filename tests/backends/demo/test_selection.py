"""Selection: which notes a reply tells."""

from __future__ import annotations

from persona_stream.backends.demo.question import Question
from persona_stream.backends.demo.ranking import Ranking
from persona_stream.backends.demo.selection import MOST, Selection, select
from tests.backends.demo.people import BRIDGE, MEI, MUSIC, RIVER, TEA, note

RANKING = Ranking(MEI.notes)


def selected(*words: str, earlier: str | None = None, told: str = "") -> Selection:
    return select(Question("?", dict.fromkeys(words, 1.0), earlier, told), MEI.notes, RANKING)


def test_what_fits_is_told_and_filled_up_with_what_is_close() -> None:
    """The bridge is asked for; the river is close by; nothing else is."""
    selection = selected("old", "bridg")
    assert (selection.answering, selection.nearby) == ((BRIDGE,), (RIVER,))
    assert selection.told == (BRIDGE, RIVER)


def test_nothing_that_fits_is_nothing_to_tell() -> None:
    """No note is told for the sake of telling something."""
    assert selected("pizza") == Selection((), ())


def test_a_question_about_nothing_in_particular_gets_the_first_notes() -> None:
    """In the profile's order."""
    assert selected() == Selection((), (TEA, RIVER, BRIDGE))


def test_at_most_five_are_told() -> None:
    """The best of them, though all matches are counted."""
    notes = [note(f"river {number}", "河", "A river.", "河。") for number in range(8)]
    selection = select(Question("?", {"river": 1.0}), notes, Ranking(notes))
    assert len(selection.matches) == 8
    assert selection.answering == tuple(notes[:MOST])


def test_a_follow_up_hears_what_was_not_told_yet() -> None:
    """What the conversation told stays out, in whichever language; in a new question it may come again."""
    told = f"... {TEA.text['zh']} ..."
    assert selected("tea", "music", earlier="tea?", told=told).answering == (MUSIC,)
    assert selected("tea", "music", told=told).answering == (MUSIC, TEA)


def test_a_follow_up_after_everything_gets_what_is_close_and_then_all_again() -> None:
    """It is better to repeat the answer than to have none."""
    after_bridge = selected("old", "bridg", earlier="?", told=BRIDGE.text["en"])
    assert (after_bridge.answering, after_bridge.nearby) == ((), (RIVER,))
    after_all = selected("old", "bridg", earlier="?", told=BRIDGE.text["en"] + RIVER.text["en"])
    assert (after_all.answering, after_all.nearby) == ((BRIDGE,), ())
