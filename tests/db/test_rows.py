"""Conversion of records to rows: the tables do not depend on the division of records into batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select

from persona_stream.core.content import Attachment, ToolCall
from persona_stream.core.facts import (
    Answered,
    Failed,
    InputClosed,
    InputRequested,
    ProgressReported,
    ReasoningDelta,
    Started,
)
from persona_stream.core.query import InputRequest, UpstreamCall, Usage
from persona_stream.core.usage import custom_prices
from persona_stream.db.base import Privacy, Record, RunAccepted, RunDelivered, RunFinished
from persona_stream.db.models import Step
from persona_stream.db.rows import build_steps, first_sentences, started_row, without_attachments
from persona_stream.db.statements import make_writer
from persona_stream.db.tables import metadata
from tests import fakes
from tests.db.factories import BEGAN, entries, query, records, run_id_of, run_request, subscription

WRITE = make_writer(Privacy(), custom_prices({"gpt-*": (2.0, 10.0)}))
ASKED = UpstreamCall(
    provider="openai",
    model="gpt-9",
    url="http://x/v1",
    request={},
    response={},
    error=None,
    status="answered",
    began_at=BEGAN,
    seconds=1.0,
)


@contextmanager
def database() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def tables(connection: Connection) -> dict[str, list[Any]]:
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
        for table in metadata.sorted_tables
    }


ENDINGS = st.sampled_from(
    [
        (
            (0.5, Started()),
            (5.0, ReasoningDelta("Hm.")),
            (5.0, Answered("It is so.", Usage(input_tokens=3, output_tokens=4))),
        ),
        (
            (0.5, Started()),
            (1.0, ProgressReported("Reading", 0.4)),
            (5.0, Answered("So", Usage(input_tokens=3, output_tokens=1))),
        ),
        ((0.5, Started()), (2.0, Failed("backend_error", "No."))),
        ((0.5, Failed("cancelled")),),
    ]
)
SUBSCRIPTIONS = st.lists(
    st.builds(
        subscription,
        st.sampled_from([BEGAN, BEGAN + 3]),
        resumed=st.booleans(),
        is_whole=st.booleans(),
        first_event_at=st.none() | st.just(BEGAN + 0.25),
        first_text_at=st.none() | st.sampled_from([BEGAN + 5, BEGAN + 6]),
    ),
    max_size=3,
)


@st.composite
def interleaved_records(draw: st.DrawFn) -> Sequence[Record]:
    """Draw the records of some runs, each run in order, interleaved with the others."""
    left: list[list[Record]] = []
    for number in range(draw(st.integers(1, 3))):
        asked = query(f"Question {number}", conversation=f"c-{draw(st.integers(1, 2))}")
        run = entries(asked, *draw(ENDINGS), at=BEGAN + number)
        kept = [record for record in records(run, asked) if not isinstance(record, RunDelivered)]
        if draw(st.booleans()):
            kept = [RunFinished(run, (ASKED,), None) if isinstance(each, RunFinished) else each for each in kept]
        left.append([*kept, *(RunDelivered(run_id_of(run), each) for each in draw(SUBSCRIPTIONS))])
    mixed = []
    while left:
        mixed.append(draw(st.sampled_from(left)).pop(0))
        left = [each for each in left if each]
    return mixed


@given(interleaved_records(), st.data())
def test_batches_make_no_difference(kept: Sequence[Record], data: st.DataObject) -> None:
    """All at once, one by one, or divided at random."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(kept)), max_size=3)))
    batches = [kept[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(kept)), strict=True)]
    found = []
    for way in ([kept], [[record] for record in kept], batches):
        with database() as connection:
            for batch in way:
                WRITE(connection, batch)
            found.append(tables(connection))
    assert found[0] == found[1] == found[2]
    assert len(found[0]["runs"]) == len([record for record in kept if isinstance(record, RunAccepted)])


@pytest.mark.parametrize(
    ("closed", "seconds", "text"),
    [
        ([(5.0, InputClosed("q1", "a.txt")), (6.0, InputClosed("q1", "b.txt"))], 4.0, "Which file? → a.txt"),
        ([(3.0, InputClosed("q1"))], 2.0, "Which file?"),
        ([], 8.0, "Which file?"),
    ],
)
def test_a_question_to_the_user_is_a_step_until_it_is_closed(closed, seconds: float, text: str) -> None:
    """With the answer that counted; where no texts are logged, without both."""
    asked = (1.0, InputRequested(InputRequest("q1", "Which file?", ("a.txt", "b.txt"))))
    run = fakes.entries((0.0, fakes.accepted()), (0.0, Started()), asked, *closed, (9.0, Answered("Read.")))
    assert build_steps(run, (), texts=True)[1] == Step(1.0, "input", seconds, text)
    assert build_steps(run, (), texts=False)[1] == Step(1.0, "input", seconds)


def test_tool_calls_are_steps_before_the_answer() -> None:
    """With their arguments; where no texts are logged, without both."""
    calls = (ToolCall("1", "weather", '{"city":"Wien"}'), ToolCall("2", "clock", "{}"))
    answered = (9.0, Answered("", finish="tools", calls=calls))
    run = fakes.entries((0.0, fakes.accepted()), (0.0, Started()), answered)
    end = Step(9.0, "answered")
    assert build_steps(run, (), texts=True)[1:] == [
        Step(9.0, "called", text='weather {"city":"Wien"}'), Step(9.0, "called", text="clock {}"), end
    ]  # fmt: skip
    assert build_steps(run, (), texts=False)[1:] == [Step(9.0, "called"), Step(9.0, "called"), end]


def test_a_summary_is_whole_sentences() -> None:
    """Or the beginning of the first one, if it is longer than the limit."""
    assert first_sentences("One. Two.", 20) == "One. Two."
    assert first_sentences("One word. Two words. Three words.", 22) == "One word. Two words."
    assert first_sentences("想了一想。再想一想。然后回答。", 11) == "想了一想。再想一想。"
    assert first_sentences("x" * 50, 10) == "x" * 10
    assert first_sentences("x" * 100_000, 10) == "x" * 10


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="}', '{"url":"data:image/png;base64,(16 B)"}'),
        (
            r'{"url": "data:image\/png;base64,iVBORw0KGgoAAAANSUhEUg=="}',
            r'{"url": "data:image\/png;base64,(16 B)"}',
        ),
        (
            '{"type":"base64","media_type":"image/png","data": "iVBORw0KGgoAAAANSUhEUgAA"}',
            '{"type":"base64","media_type":"image/png","data": "(18 B)"}',
        ),
        (
            '{"input_audio":{"data":"UklGRiQAAABXQVZF","format":"wav"}}',
            '{"input_audio":{"data":"(12 B)","format":"wav"}}',
        ),
        ('{"message":"What is data:image/png;base64,?"}', '{"message":"What is data:image/png;base64,?"}'),
        ('{"data":"iVBORw0KGgoAAAANSUhEUg=="}', '{"data":"iVBORw0KGgoAAAANSUhEUg=="}'),  # of no attachment
    ],
)
def test_bodies_are_kept_without_the_content_of_attachments(text: str, kept: str) -> None:
    """Its size takes its place, in the forms of all protocols."""
    assert without_attachments(text) == kept


@pytest.mark.parametrize(("bodies", "name"), [(True, "cat.png"), (False, None)])
def test_the_name_of_an_attachment_is_a_text_of_the_user(bodies: bool, name: str | None) -> None:
    """Type and size are not."""
    asked = query(parts=("What?", Attachment("data:image/png;base64,AAAA", name="cat.png")))
    record = RunAccepted(entries(asked)[0], run_request(asked))
    _, texts = started_row(record, Privacy(bodies=bodies))
    assert json.loads(texts["attachments"]) == [{"type": "image", "name": name, "size": 3}]
