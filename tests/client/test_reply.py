"""The JSON of the server, read with suspicion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client import models as reply
from tests.client.fakes import COMPLETE, OPENING, failure, piece

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({}) | st.just([1])


def test_an_opening_is_read() -> None:
    """Ids, deadline, status."""
    found = reply.of(OPENING)
    assert (found.run_id, found.conversation_id, found.deadline, found.progress) == ("run-1", "talk-1", 150.0, 5.0)
    assert (found.is_last, found.text) == (False, "")


def test_a_piece_an_ending_and_a_failure_are_read() -> None:
    """Text, the mark of the last event, code and error."""
    assert reply.of(piece("abc")).text == "abc"
    assert (reply.of(COMPLETE).is_last, reply.of(COMPLETE).total_time) == (True, 8.2)
    found = reply.of(failure("lost", "gone"))
    assert (found.is_last, found.code, found.error) == (True, "lost", "gone")


@given(st.dictionaries(st.sampled_from(["status", "data", "progress", "eta", "is_complete", "error", "run_id"]), JSON))
def test_any_type_in_any_field_is_survived(payload: dict[str, object]) -> None:
    """A field of another type counts as missing."""
    found = reply.of(payload)
    assert found.payload == payload
    assert isinstance(found.text, str)
    assert found.progress is None or 0 <= found.progress < 1e9
    assert found.is_last is (payload.get("is_complete") is True)


@pytest.mark.parametrize("number", ["true", '"5"', "NaN", "Infinity", "-1", "1e400", "1" * 400, "null"])
def test_what_is_no_sensible_number_is_none(number: str) -> None:
    """Python's JSON knows more numbers than a progress bar does."""
    found = reply.parse(f'{{"progress": {number}}}')
    assert found is not None
    assert found.progress is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "1", "[" * 100_000, '{"a":' * 100_000, b"\xff", "1" * 5000])
def test_what_is_no_object_is_none(data: str | bytes) -> None:
    """No text, however long or deep, gets further than here."""
    assert reply.parse(data) is None
