"""What the client remembers of its run."""

from __future__ import annotations

from persona_stream.client import models as reply
from persona_stream.client.session import Trail
from persona_stream.core.sse import Event
from tests.client.fakes import OPENING, RUN, piece, processing


def test_the_run_has_one_id() -> None:
    """The first that is told; a later one changes nothing, and one that is no id is not taken."""
    trail = Trail()
    trail.met("")
    trail.met("x" * 10_000)
    assert trail.run_id == ""
    trail.met(RUN)
    trail.take(Event("", id=""), reply.of({**OPENING, "run_id": "another"}))
    assert (trail.run_id, trail.conversation_id) == (RUN, "talk-1")


def test_text_counts_once_by_its_position() -> None:
    """A position that was reached is old; progress there is not text, and passes."""
    trail = Trail()
    trail.met(RUN)
    hello = reply.of(piece("Hello"))
    assert trail.take(Event("", id=f"{RUN}/2.5"), hello)
    assert not trail.take(Event("", id=f"{RUN}/2.5"), hello)
    assert not trail.take(Event("", id=f"{RUN}/2.3"), hello)
    assert trail.take(Event("", id=f"{RUN}/2.5"), reply.of(processing(1.0)))
    assert trail.take(Event("", id=f"{RUN}/3.0"), hello)
    assert trail.characters == 10


def test_reasoning_counts_once_too() -> None:
    """It is a text of its own, and none of the answer."""
    trail = Trail()
    trail.met(RUN)
    thought = reply.of({"status": "reasoning", "data": "", "reasoning": "hm"})
    assert trail.take(Event("", id=f"{RUN}/2.2"), thought)
    assert not trail.take(Event("", id=f"{RUN}/2.2"), thought)
    assert trail.characters == 0


def test_an_event_without_an_id_does_not_forget_the_last_one() -> None:
    """Else a break after it would bring everything again."""
    trail = Trail()
    trail.met(RUN)
    trail.take(Event("", id=f"{RUN}/2.5"), reply.of(piece("Hello")))
    assert trail.take(Event("", id=""), reply.of(piece(" there")))
    assert trail.last_event_id == f"{RUN}/2.5"


def test_ids_of_another_kind_are_trusted() -> None:
    """Nothing can be compared, so nothing is dropped; the id is still where to resume."""
    trail = Trail()
    trail.met(RUN)
    assert trail.take(Event("", id="7"), reply.of(piece("a")))
    assert trail.take(Event("", id="7"), reply.of(piece("b")))
    assert (trail.last_event_id, trail.characters, trail.has_moved("8")) == ("7", 2, False)


def test_a_position_moves_forward_only() -> None:
    """What was reached before is no progress."""
    trail = Trail()
    trail.met(RUN)
    trail.take(Event("", id=f"{RUN}/2.5"), reply.of(piece("Hello")))
    assert trail.has_moved(f"{RUN}/2.6")
    assert trail.has_moved(f"{RUN}/3.0")
    assert not trail.has_moved(f"{RUN}/2.5")
    assert not trail.has_moved("another/9.9")
