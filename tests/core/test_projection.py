"""Tests of the projection: the invariants that hold for every subscriber of every run."""

from __future__ import annotations

from itertools import accumulate

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from persona_stream.core.cursor import BEGINNING, Position, is_at_end, position_at_character, validate
from persona_stream.core.events import (
    AnswerReady,
    Completed,
    InputRequired,
    Progress,
    ProviderChunk,
    QueuePosition,
    ReasoningChunk,
    RunFailed,
    RunOpened,
    TextChunk,
    Wait,
)
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Failed,
    InputClosed,
    InputRequested,
    ProgressReported,
    ProviderDelta,
    Queued,
    ReasoningDelta,
    Started,
    text_of,
)
from persona_stream.core.forecast import Forecast
from persona_stream.core.projection import STYLES, StreamProjection
from persona_stream.core.query import InputRequest
from tests.fakes import FakeClock, accepted, entries, read, subscription_options, texts

TERMINAL = (Completed, RunFailed)


def test_a_run_is_projected_from_its_start_to_its_end():
    """Opening, first status, a status each interval, AnswerReady, paced chunks, the end."""
    run = entries((0.0, accepted()), (0.0, Started()), (5.0, Answered("Twenty characters ok. Then a few more.")))
    assert read(run, subscription_options(locale="en")) == [
        (0.0, RunOpened(Position(1, 0), "chat_123", 2.0, 150.0, 900.0)),
        (0.0, Progress(Position(2, 0), "Working on your request...", 5, 0.0)),
        (2.0, Progress(Position(2, 0), "Analyzing the request...", 6, 2.0)),
        (4.0, Progress(Position(2, 0), "Looking up what is relevant...", 7, 4.0)),
        (5.0, AnswerReady(Position(2, 0), 5.0)),
        (5.0, TextChunk(Position(2, 22), "Twenty characters ok. ", 1, 22, 38)),
        (5.1, TextChunk(Position(2, 38), "Then a few more.", 2, 38, 38)),
        (5.1, Completed(Position(3, 0), 5.1, Answered("Twenty characters ok. Then a few more."))),
    ]


def test_a_question_is_sent_at_once_and_at_each_interval_until_it_is_closed():
    """After the text before it, to its last character; a subscriber that joins later sees an open question only."""
    asked = InputRequested(InputRequest("q1", "Which file?", ("a", "b"), 60.0))
    run = entries(
        (0.0, accepted(chunking="characters")),
        (0.0, Started()),
        (1.0, AnswerDelta("Hm. ")),
        (1.5, asked),
        (5.0, InputClosed("q1", "a", "by alice")),
        (5.2, InputClosed("q1", "b", "by bob")),
        (5.5, Answered("Read.")),
    )

    def question(at: float, expires_in: float) -> tuple[float, InputRequired]:
        choices = {"input_id": "q1", "choices": ("a", "b"), "expires_in": expires_in}
        return at, InputRequired(Position(4, 0), "Which file?", 100, at, **choices)

    assert read(run, subscription_options(locale="en"))[2:] == [
        (1.0, AnswerReady(Position(2, 0), 1.0)),
        (1.0, TextChunk(Position(2, 3), "Hm.", 1, 3, None)),
        (1.5, TextChunk(Position(3, 0), " ", 2, 4, None)),
        question(1.5, 60.0),
        question(3.5, 58.0),
        (5.0, Progress(Position(5, 0), "Looking up what is relevant...", 100, 5.0)),
        (5.2, Progress(Position(6, 0), "Looking up what is relevant...", 100, 5.2)),
        (5.5, TextChunk(Position(6, 5), "Read.", 3, 9, 9)),
        (5.5, Completed(Position(7, 0), 5.5, Answered("Read."))),
    ]
    joined = read(run, subscription_options(locale="en", start=Position(2, 4)), since=4.0)
    assert joined[0] == question(4.0, 57.5)
    late = read(run, subscription_options(locale="en"), since=5.1)
    assert not [event for _, event in late if isinstance(event, InputRequired)]


def test_a_question_that_was_refused_is_not_sent():
    """The protocol of the run cannot ask."""
    asked = InputRequested(InputRequest("q1", "Which file?", is_refused=True))
    run = entries((0.0, accepted()), (0.0, Started()), (1.0, asked), (1.5, Answered("Which file?")))
    assert not [event for _, event in read(run, subscription_options()) if isinstance(event, InputRequired)]


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ([(0.0, accepted(deadline=20.0))], 20.0 + 60.0 + 5.0),
        ([(0.0, accepted(deadline=20.0)), (0.0, Started())], 20.0 + 5.0),
        ([(0.0, accepted(deadline=20.0)), (0.0, Started()), (1.0, AnswerDelta("Half."))], 20.0 + 5.0),
        # The clock of the process that executes the run may be wrong by hours.
        ([(-3600.0, accepted(deadline=20.0)), (-3600.0, Started())], 20.0 + 5.0),
    ],
)
def test_a_stream_ends_after_the_deadline_if_the_store_delivers_no_ending(facts, end):
    """Some seconds later, by the clock of this process; text that was held back is sent before."""
    clock = FakeClock(0.0)
    events = []
    for step in StreamProjection(entries(*facts), subscription_options(), clock):
        if isinstance(step, Wait):
            assert step.until > clock.now
            clock.now = step.until
        else:
            events.append(step)
    assert clock.now == end
    assert (events[-1].code, isinstance(events[-1], RunFailed)) == ("timeout", True)
    assert texts((0.0, event) for event in events) == "".join(text_of(fact) for _, fact in facts)


def test_a_projection_can_skip_the_rest_of_its_pauses():
    """Nothing else changes: the same events follow, at once."""
    run = entries((0.0, accepted()), (0.0, Started()), (5.0, Answered("word " * 100)))
    clock = FakeClock(5.0)
    projection = StreamProjection(run, subscription_options(), clock)
    events = []
    for step in projection:
        if isinstance(step, Wait):
            clock.now = step.until
            projection.skip_pauses()
            until = step.until
        else:
            events.append(step)
    assert events == [event for _, event in read(run, subscription_options(), since=5.0)]
    assert clock.now == until < 5.2


def test_a_late_subscriber_receives_everything_overdue_at_once():
    """Without waiting, and without past progress."""
    run = entries((0.0, accepted()), (0.0, Started()), (60.0, Answered("word " * 100)))
    events = read(run, subscription_options(), since=500.0)
    assert {at for at, _ in events} == {500.0}
    assert [type(event) for _, event in events if not isinstance(event, TextChunk)] == [
        RunOpened, Progress, AnswerReady, Completed,
    ]  # fmt: skip


def test_a_subscriber_that_joins_mid_run_receives_one_status_at_once():
    """Past ticks are not replayed; the next ones are at the same times as for all subscribers."""
    run = entries((0.0, accepted()), (0.0, Started()), (9.0, Failed("internal")))
    events = read(run, subscription_options(start=Position(2, 0)), since=5.0)
    assert [(at, type(event).__name__) for at, event in events] == [
        (5.0, "Progress"), (6.0, "Progress"), (8.0, "Progress"), (9.0, "RunFailed"),
    ]  # fmt: skip


def test_a_queued_run_sends_its_queue_position_each_interval():
    """The first one at once, with the time in the queue; the deadline counts from the start."""
    run = entries(
        (0.0, accepted()), (0.0, Queued(3)), (2.5, Queued(1, 4.0)), (5.0, Started()), (6.0, Failed("timeout"))
    )
    assert read(run, subscription_options(locale="en")) == [
        (0.0, RunOpened(Position(1, 0), "chat_123", 2.0, 150.0, 900.0)),
        (0.0, QueuePosition(Position(2, 0), 3, 0.0)),
        (2.0, QueuePosition(Position(2, 0), 3, 2.0)),
        (4.0, QueuePosition(Position(3, 0), 1, 4.0, 4.0)),
        (5.0, Progress(Position(4, 0), "Working on your request...", 5, 0.0)),
        (6.0, RunFailed(Position(5, 0), "timeout", "The request took too long, please try again later", 1.0)),
    ]


def test_a_subscriber_of_a_queued_run_receives_its_queue_position_at_once():
    """A subscriber that joins after the start sees nothing of the queue."""
    run = entries((0.0, accepted()), (0.0, Queued(2)), (5.0, Started()), (6.0, Failed("internal")))
    events = read(run, subscription_options(start=Position(2, 0)), since=1.0)
    assert [(at, type(event).__name__) for at, event in events] == [
        (1.0, "QueuePosition"), (3.0, "QueuePosition"), (5.0, "Progress"), (6.0, "RunFailed"),
    ]  # fmt: skip
    late = read(run, subscription_options(), since=50.0)
    assert [type(event).__name__ for _, event in late] == ["RunOpened", "Progress", "RunFailed"]


def test_a_report_replaces_the_text_and_raises_the_percentage():
    """Its text stays until the next report."""
    run = entries(
        (0.0, accepted()),
        (0.0, Started()),
        (3.0, ProgressReported("Reading page 3 of 8", 0.37)),
        (5.0, ProgressReported("", 0.2)),
        (7.0, Answered("Done.")),
    )
    reports = [event for _, event in read(run, subscription_options()) if isinstance(event, Progress)]
    assert [(event.message, event.percent) for event in reports[2:]] == [
        ("Reading page 3 of 8", 37), ("Reading page 3 of 8", 37),
    ]  # fmt: skip
    assert [event.eta for event in reports] == [None] * 4
    assert [event.position for event in reports] == [(2, 0), (2, 0), (3, 0), (4, 0)]


@pytest.mark.parametrize(
    ("locale", "late"), [("zh", "可能超过 60 秒的时限。"), ("en", "May exceed the limit of 60 s. ")]
)
def test_a_run_that_will_probably_miss_its_deadline_says_so(locale, late):
    """With its first text, as long as this is expected, also before a text of the backend; and not once it answers."""
    forecast = Forecast((59.0, 60.0), (900, 930), (200, 1000), runs=20)
    run = entries(
        (0.0, accepted(deadline=60.0, locale=locale)),
        (0.0, Started(0, forecast)),
        (1.0, ProgressReported("Page 1", None)),
        (3.0, ProgressReported("Page 2", 0.4)),
        (7.0, ProgressReported("Page 8", 0.9)),
        (8.5, AnswerDelta("Done. ")),
        (12.0, Answered("Bye.")),
    )
    events = [event for _, event in read(run, subscription_options(locale=locale))]
    shown = [event.message for event in events if isinstance(event, Progress)]
    first = {"zh": "正在处理您的请求...", "en": "Working on your request..."}[locale]
    assert shown == [late + first, late + "Page 1", late + "Page 2", late + "Page 2", "Page 8", "Page 8"]


def test_reasoning_comes_before_the_answer_and_only_on_request():
    """It is a text of its own, with its own positions."""
    run = entries((0.0, accepted()), (0.0, Started()), (1.0, ReasoningDelta("Hm. Well.")), (1.0, Answered("Yes.")))
    with_it = [event for _, event in read(run, subscription_options(reasoning=True, chunking="sentences"))]
    assert with_it[2:6] == [
        ReasoningChunk(Position(2, 4), "Hm. "),
        ReasoningChunk(Position(2, 9), "Well."),
        AnswerReady(Position(3, 0), 1.0),
        TextChunk(Position(3, 4), "Yes.", 1, 4, 4),
    ]
    assert not any(isinstance(event, ReasoningChunk) for _, event in read(run, subscription_options()))


def test_a_delta_is_sent_at_once_except_for_its_last_grapheme():
    """An accent in the next delta still joins its letter."""
    run = entries(
        (0.0, accepted()),
        (0.0, Started()),
        (1.0, AnswerDelta("cafe")),
        (1.1, AnswerDelta("\u0301s")),
        (5.0, Answered("!")),
    )
    events = [
        (at, event)
        for at, event in read(run, subscription_options())
        if isinstance(event, TextChunk | AnswerReady | Progress)
    ]
    assert events == [
        (0.0, Progress(Position(2, 0), "正在处理您的请求...", 5, 0.0)),
        (1.0, AnswerReady(Position(2, 0), 1.0)),
        (1.0, TextChunk(Position(2, 3), "caf", 1, 3, None)),
        (1.1, TextChunk(Position(3, 1), "e\u0301", 2, 5, None)),
        (3.1, Progress(Position(3, 1), "正在分析用户请求...", 100, pytest.approx(3.1))),
        (5.0, TextChunk(Position(4, 1), "s!", 3, 7, 7)),
    ]


def test_text_before_a_failure_is_sent():
    """Held text is flushed before the failure."""
    run = entries((0.0, accepted()), (0.0, Started()), (1.0, AnswerDelta("Half an ans")), (2.0, Failed("internal")))
    events = read(run, subscription_options())
    assert texts(events) == "Half an ans"
    assert events[-1] == (2.0, RunFailed(Position(4, 0), "internal", "处理过程中发生错误", 2.0))


def test_a_backend_error_keeps_its_text():
    """Other failures have a text in the subscriber's language."""
    run = entries((0.0, accepted()), (1.0, Started()), (2.0, Failed("backend_error", "The library is closed.")))
    assert read(run, subscription_options())[-1] == (
        2.0,
        RunFailed(Position(3, 0), "backend_error", "The library is closed.", 1.0),
    )


def test_a_run_sends_no_progress_before_it_starts():
    """Its deadline has not begun."""
    run = entries((0.0, accepted()), (7.0, Started()), (8.0, Answered("Hi.")))
    events = read(run, subscription_options())
    assert [(at, type(event).__name__) for at, event in events] == [
        (0.0, "RunOpened"), (7.0, "Progress"), (8.0, "AnswerReady"), (8.0, "TextChunk"), (8.0, "Completed"),
    ]  # fmt: skip
    assert events[-1][1] == Completed(Position(3, 0), 8.0, Answered("Hi."))


@pytest.mark.parametrize("offset", [-3600.0, -5.0, -0.001, 0.001, 5.0, 3600.0])
def test_a_wrong_clock_affects_percentages_but_not_text(offset):
    """A subscriber on a machine with another time receives every character without a long wait."""
    answer = "One sentence. Another one, rather longer than the first. " * 8
    run = entries((0.0, accepted()), (0.0, Started()), (6.0, Answered(answer)))
    events = read(run, subscription_options(), clock_offset=offset)
    assert texts(events) == answer
    assert isinstance(events[-1][1], Completed)
    assert events[-1][0] < 20.0


FRAGMENTS = st.sampled_from([
    "Hello", " world. ", "It is 3.14", "你好，", "世界。", "e", "\u0301", "👩‍👩‍👧", "\u200d", "🇦", "🇧", "\n", "`a b`",
    "。」", "\r", "x" * 50,
])  # fmt: skip
TEXT = st.lists(FRAGMENTS, min_size=1, max_size=12).map("".join)
REPORT = st.builds(ProgressReported, st.sampled_from(["", "SubscriptionClosed"]), st.none() | st.floats(0, 1))
MIDDLE = st.lists(st.one_of(REPORT, st.builds(ReasoningDelta, TEXT), st.builds(AnswerDelta, TEXT)), max_size=6)
ENDING = st.one_of(
    st.builds(Answered, TEXT),
    st.sampled_from([Failed("internal"), Failed("timeout"), Failed("cancelled"), Failed("backend_error", "Closed.")]),
)
STYLE = st.sampled_from(sorted(STYLES))
CHUNKING = st.sampled_from(["characters", "words", "sentences"])


@st.composite
def runs(draw: st.DrawFn) -> list[Entry]:
    """Strategy for all possible runs."""
    moment, happened = 0.0, [(0.0, accepted())]
    for fact in (Started(), *draw(MIDDLE), draw(ENDING)):
        moment += draw(st.sampled_from([0.0, 0.01, 0.5, 2.0, 7.0]))
        happened.append((moment, fact))
    return entries(*happened)


def answer_of(run: list[Entry]) -> str:
    return "".join(text_of(entry.fact) for entry in run if isinstance(entry.fact, AnswerDelta | Answered))


@given(runs(), STYLE, CHUNKING, st.booleans(), st.floats(0, 60))
def test_each_projection_ends_once_and_is_complete(run, style, chunking, reasoning, since):
    """One final event at the end, every character, and positions and percentages that never decrease."""
    events = read(run, subscription_options(style, chunking, reasoning=reasoning), since=since)
    kinds = [event for _, event in events]
    assert [isinstance(event, TERMINAL) for event in kinds] == [False] * (len(kinds) - 1) + [True]
    assert texts(events) == answer_of(run)
    positions = [event.position for event in kinds]
    assert positions == sorted(positions)
    assert is_at_end(positions[-1], run)
    percents = [event.percent for event in kinds if isinstance(event, Progress)]
    assert percents == sorted(percents)
    assert all(validate(position, run) for position in positions)


@given(runs(), CHUNKING)
def test_no_chunk_ends_within_a_grapheme(run, chunking):
    """However the deltas were split."""
    chunks = [
        event.text for _, event in read(run, subscription_options(chunking=chunking)) if isinstance(event, TextChunk)
    ]
    # Before reasoning and before a failure what is held back goes out as it is: there a new text begins.
    texts_alone, edges, end = [""], set(), 0
    for entry in run:
        if isinstance(entry.fact, ReasoningDelta | Failed):
            texts_alone.append("")
        elif isinstance(entry.fact, AnswerDelta | Answered):
            texts_alone[-1] += entry.fact.text
    for text in texts_alone:
        for cluster in regex.findall(r"\X", text):
            end += len(cluster)
            edges.add(end)
    assert set(accumulate(map(len, chunks))) <= edges


@given(runs(), STYLE, CHUNKING, STYLE, CHUNKING, st.booleans(), st.floats(0, 80))
def test_resuming_at_any_event_yields_exactly_the_rest(run, style, chunking, other, cut, reasoning, since):
    """In any style and chunking, at any later time, each missing character once."""
    events = read(run, subscription_options(style, chunking, reasoning=reasoning))
    thoughts = "".join(event.text for _, event in events if isinstance(event, ReasoningChunk))
    had = thought = ""
    for at, event in events[:-1]:
        had += event.text if isinstance(event, TextChunk) else ""
        thought += event.text if isinstance(event, ReasoningChunk) else ""
        rest = read(
            run, subscription_options(other, cut, start=event.position, reasoning=reasoning), since=max(at, since)
        )
        assert had + texts(rest) == answer_of(run)
        assert thought + "".join(e.text for _, e in rest if isinstance(e, ReasoningChunk)) == thoughts
        assert [isinstance(e, TERMINAL) for _, e in rest].count(True) == 1
        whole = read(run, subscription_options(other, cut, reasoning=reasoning))
        assert rest[-1][1] == whole[-1][1]
        assert not any(isinstance(e, RunOpened) for _, e in rest)


@given(runs(), STYLE, CHUNKING)
def test_resuming_with_the_same_options_yields_the_same_chunks(run, style, chunking):
    """With the same numbers, for an answer that arrived whole."""
    if any(isinstance(entry.fact, AnswerDelta) for entry in run):
        return
    events = [event for _, event in read(run, subscription_options(style, chunking))]
    for index, event in enumerate(events[:-1]):
        if isinstance(event, TextChunk):
            rest = [e for _, e in read(run, subscription_options(style, chunking, start=event.position), since=100.0)]
            assert rest == events[index + 1 :]


@given(runs(), st.data())
def test_resuming_by_characters_yields_the_others(run, data):
    """For a client without an event id."""
    answer = answer_of(run)
    held = data.draw(st.integers(0, len(answer)))
    rest = read(run, subscription_options(start=position_at_character(held, run)), since=200.0)
    assert answer[:held] + texts(rest) == answer


def test_fields_of_a_provider_are_sent_to_subscribers_with_its_protocol():
    """Between the texts, as it sent them, and not again to a subscriber that has them."""
    fields = ({"x": 1}, {"x": 2})
    run = entries(
        (0.0, accepted()),
        (0.0, Started()),
        (1.0, AnswerDelta("One ")),
        (1.0, ProviderDelta("openai", fields)),
        (2.0, Answered("two.")),
    )

    def fields_of(dialect: str, start: Position = BEGINNING) -> list[object]:
        options = structs.replace(subscription_options(start=start), dialect=dialect)
        return [event.fields for _, event in read(run, options) if isinstance(event, ProviderChunk)]

    assert fields_of("openai") == [fields]
    assert fields_of("native") == []
    assert fields_of("openai", Position(3, 0)) == [fields]
    assert fields_of("openai", Position(4, 0)) == []
