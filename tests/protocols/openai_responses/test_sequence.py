"""Tests of the sequence numbers: positions in the journal, unique and rising."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.cursor import Position
from persona_stream.core.facts import AnswerDelta, Answered, Entry, ProgressReported, ReasoningDelta, Started, text_of
from persona_stream.protocols.openai_responses.sequence import SLOTS, SequenceNumbers
from tests.fakes import accepted, entries

TEXT = st.text(min_size=1, max_size=9)
FACTS = st.lists(
    st.one_of(
        TEXT.map(AnswerDelta), TEXT.map(ReasoningDelta), st.just(ProgressReported("Reading", 0.5)), st.just(Started())
    ),
    max_size=12,
)


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    """Return a journal of any facts."""
    ending = draw(st.one_of(st.none(), TEXT.map(Answered)))
    facts = [accepted(), *draw(FACTS), *([] if ending is None else [ending])]
    return entries(*((float(index), fact) for index, fact in enumerate(facts)))


def positions(journal: list[Entry]) -> list[Position]:
    """Return all positions of a journal, in order."""
    found = [Position(0, 0)]
    for index, entry in enumerate(journal):
        found += [Position(index, count) for count in range(1, len(text_of(entry.fact)))]
        found.append(Position(index + 1, 0))
    return found


@given(journals())
def test_numbers_rise_with_positions(journal: list[Entry]):
    """Each position has a number of its own."""
    numbers = SequenceNumbers(journal)
    order = [numbers.at(position) for position in positions(journal)]
    assert order == sorted(set(order))


@given(journals(), st.integers(0, 12))
def test_a_journal_that_grows_keeps_its_numbers(journal: list[Entry], length: int):
    """A number depends on the facts before it only."""
    length = max(1, min(length, len(journal)))
    early = SequenceNumbers(journal[:length])
    whole = SequenceNumbers(journal)
    assert [early.at(each) for each in positions(journal[:length])] == [
        whole.at(each) for each in positions(journal[:length])
    ]


def test_the_end_of_a_text_is_the_beginning_of_the_next_block():
    """A block has the slots of its events, and one number for each character."""
    numbers = SequenceNumbers(entries((0.0, accepted()), (0.0, Started()), (1.0, Answered("Hello"))))
    assert [numbers.at(Position(1, 0)), numbers.at(Position(2, 0))] == [SLOTS, 2 * SLOTS]
    assert numbers.in_block(2, 4) == 2 * SLOTS + 4
    assert numbers.at(Position(2, 5)) == numbers.at(Position(3, 0)) == 3 * SLOTS + 5
