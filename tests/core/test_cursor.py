"""Event ids and resume positions."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core import cursor
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.facts import AnswerDelta, Answered, Failed, Started
from persona_stream.errors import InvalidRequest
from tests.fakes import RUN_ID, accepted, entries

RUN = entries((0.0, accepted()), (0.0, Started()), (1.0, AnswerDelta("Hello ")), (2.0, Answered("world")))


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_an_id_reads_back(facts, characters):
    """Parsing an id returns the position that it was built from."""
    assert cursor.parse(f"{RUN_ID}/{facts}.{characters}", RUN_ID) == (facts, characters)


IDS = st.from_regex(r"\A[a-z0-9]{0,3}/?-?[0-9]{0,17}\.?[0-9]{0,17}\n?\Z") | st.text()


@given(IDS, st.sampled_from(["", "a", RUN_ID]))
def test_any_text_is_a_position_of_the_run_or_refused(text, run):
    """An accepted id has the canonical form, apart from leading zeros."""
    event_id = f"{run}{text}"
    try:
        facts, characters = cursor.parse(event_id, RUN_ID)
    except InvalidRequest:
        return
    if event_id:
        run_id, _, position = event_id.rpartition("/")
        assert (run_id, *map(int, position.split("."))) == (RUN_ID, facts, characters)
    else:
        assert (facts, characters) == BEGINNING


@given(st.tuples(st.integers(0, 6), st.integers(0, 14)), st.integers(0, 14))
def test_any_position_exists_or_is_refused(position, characters):
    """So is any number of characters; an accepted number leads to an existing position."""
    with suppress(InvalidRequest):
        assert cursor.validate(Position(*position), RUN) == position
    try:
        found = cursor.position_at_character(characters, RUN)
    except InvalidRequest:
        return
    assert cursor.validate(found, RUN) == found


def test_no_id_is_the_beginning():
    """The first connection resumes at the beginning."""
    assert cursor.parse("", RUN_ID) == BEGINNING


@pytest.mark.parametrize(
    "event_id",
    [
        "-1", "0", "garbage", "/", f"{RUN_ID}", f"{RUN_ID}/", f"{RUN_ID}/1", f"{RUN_ID}/1.", f"{RUN_ID}/.1",
        f"{RUN_ID}/-1.0", f"{RUN_ID}/1.0.0", f" {RUN_ID}/1.0", f"{RUN_ID}/1.0 ", f"{RUN_ID}/1.0\n", f"{RUN_ID}/+1.0",
        f"{RUN_ID}/１.０", f"{RUN_ID}/1e3.0", f"{RUN_ID}/0x1.0", f"{RUN_ID}/{'9' * 16}.0", f"{RUN_ID}//1.0",
        "01kaf0000000000000000000aa/1.0", "a/1.0", f"{RUN_ID}\x00/1.0", f"{RUN_ID.upper()}/1.0", "x" * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_or_foreign_id_is_refused(event_id):
    """An invalid id never means "from the beginning": the subscriber would receive its text twice."""
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        cursor.parse(event_id, RUN_ID)


@pytest.mark.parametrize("position", [(0, 0), (1, 0), (2, 0), (2, 6), (3, 0), (3, 5), (4, 0)])
def test_an_existing_position_is_returned(position):
    """Every boundary between two characters and between two facts is a position."""
    assert cursor.validate(Position(*position), RUN) == position


@pytest.mark.parametrize("position", [(0, 1), (1, 1), (2, 7), (3, 6), (4, 1), (5, 0), (10**14, 0)])
def test_positions_beyond_what_exists_are_refused(position):
    """A subscriber cannot have received text that was never sent."""
    with pytest.raises(InvalidRequest, match="beyond"):
        cursor.validate(Position(*position), RUN)


def test_characters_of_the_answer_are_counted_over_its_parts():
    """The answer is the text of all deltas and of the final fact."""
    positions = [cursor.position_at_character(count, RUN) for count in (0, 1, 6, 7, 11)]
    assert positions == [(0, 0), (2, 1), (2, 6), (3, 1), (3, 5)]
    with pytest.raises(InvalidRequest, match="11 characters so far"):
        cursor.position_at_character(12, RUN)


def test_only_the_whole_of_an_ended_run_is_its_end():
    """With all text received, the final fact is still missing."""
    assert cursor.is_at_end(Position(4, 0), RUN)
    assert not cursor.is_at_end(Position(3, 5), RUN)
    assert not cursor.is_at_end(Position(3, 0), RUN[:3])
    assert cursor.is_at_end(Position(2, 0), entries((0.0, accepted()), (1.0, Failed("internal"))))
