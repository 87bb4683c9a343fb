"""Tests of the encoder of the Responses protocol: facts and a clock in, whole transcripts out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Fact,
    Failed,
    ProgressReported,
    Queued,
    ReasoningDelta,
    Started,
)
from persona_stream.core.sse import SSEDecoder
from persona_stream.protocols import provider_state
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.openai_responses import output
from persona_stream.protocols.openai_responses.encoder import RESPONSES, ResponsesEncoder, last_sequence_number
from tests.fakes import RUN_ID, accepted, entries, read, subscription_options
from tests.protocols.transcripts import AT, BEGUN, transcript_of

MESSAGE = f"msg_{RUN_ID}_0"
RESPONSE_EVENTS = ("response.created", "response.queued", "response.in_progress")


def transcript(journal: Sequence[Entry], start: Position = BEGINNING, since: float = AT, **how: Any) -> str:
    """Return the whole stream of a subscriber that joins at a moment."""
    return transcript_of(ResponsesEncoder(journal, **how), journal, start, since)


def stream(journal: Sequence[Entry], **how: Any) -> list[dict[str, Any]]:
    """Return the events of a stream that must be well formed and end with [DONE]."""
    decoded = SSEDecoder().feed(transcript(journal, **how).encode())
    assert decoded.pop().data == b"[DONE]"
    found = [json.loads(event.data) for event in decoded]
    assert [event.event for event in decoded] == [each["type"] for each in found]
    assert not any(event.id for event in decoded)
    return found


def short(events: Sequence[dict[str, Any]]) -> list[Any]:
    """Return events without ids and empty members: the response objects by their status."""
    shown: list[Any] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        value = next(
            (event[name] for name in ("delta", "text", "arguments", "refusal", "message") if name in event), None
        )
        if "response" in event:
            value = event["response"]["status"]
        shown.append((event["sequence_number"], kind) if value is None else (event["sequence_number"], kind, value))
    return shown


def test_a_whole_stream():
    """In the documented order, with rising numbers that leave room for each character."""
    run = entries(
        *BEGUN, (AT + 1, ProgressReported("Reading\npage 3", 0.37)), (AT + 4.5, Answered("你好，world. And more words"))
    )
    assert short(stream(run)) == [
        (8, "created", "in_progress"),
        (16, "in_progress", "in_progress"),
        (28, "output_item.added"),
        (29, "content_part.added"),
        (42, "output_text.delta", "你好，world. "),
        (56, "output_text.delta", "And more words"),
        (57, "output_text.done", "你好，world. And more words"),
        (58, "content_part.done"),
        (59, "output_item.done"),
        (60, "completed", "completed"),
    ]
    text = transcript(run)
    assert text.startswith('event: response.created\ndata: {"type":"response.created","sequence_number":8,"response":{')
    assert "\n\n: processing 2.0s 37% Reading page 3\n: processing 4.0s 37% Reading page 3\nevent: " in text
    assert text.endswith("}\n\ndata: [DONE]\n\n")


def test_the_events_of_a_text_have_all_members():
    """lmstudio-bug-tracker #1089 lacked annotations, cursor2api #115 and #116 the type and the nested response."""
    found = stream(entries(*BEGUN, (AT, Answered("Hi."))))
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    place = {"output_index": 0, "item_id": MESSAGE, "content_index": 0}
    item = {"type": "message", "id": MESSAGE, "role": "assistant"}
    assert found[2:-1] == [
        {
            "type": "response.output_item.added", "sequence_number": 20, "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", "sequence_number": 21, **place, "part": part},
        {"type": "response.output_text.delta", "sequence_number": 27, **place, "delta": "Hi.", "logprobs": []},
        {"type": "response.output_text.done", "sequence_number": 28, **place, "text": "Hi.", "logprobs": []},
        {"type": "response.content_part.done", "sequence_number": 29, **place, "part": {**part, "text": "Hi."}},
        {
            "type": "response.output_item.done", "sequence_number": 30, "output_index": 0,
            "item": {**item, "status": "completed", "content": [{**part, "text": "Hi."}]},
        },
    ]  # fmt: skip


def test_reasoning_is_an_item_of_its_own():
    """Closed before the message opens, in the block of the fact that begins the message."""
    run = entries(*BEGUN, (AT, ReasoningDelta("Six times seven.")), (AT, Answered("42")))
    assert short(stream(run))[2:] == [
        (20, "output_item.added"),
        (21, "reasoning_summary_part.added"),
        (40, "reasoning_summary_text.delta", "Six times seven."),
        (41, "reasoning_summary_text.done", "Six times seven."),
        (42, "reasoning_summary_part.done"),
        (43, "output_item.done"),
        (44, "output_item.added"),
        (45, "content_part.added"),
        (50, "output_text.delta", "42"),
        (51, "output_text.done", "42"),
        (52, "content_part.done"),
        (53, "output_item.done"),
        (54, "completed", "completed"),
    ]


CALLS = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "patch", '{"input":"***"}'))

STATE = ProviderFields("openai", {"message": {"reasoning_details": [{"data": "x"}]}})


def test_what_the_provider_requires_back_precedes_the_calls():
    """It is an item of its own, since the texts were sent before it was known."""
    run = entries(*BEGUN, (AT, Answered("", finish="tools", calls=CALLS[:1], extras=STATE)))
    found = stream(run)
    assert short(found)[2:5] == [
        (28, "output_item.added"), (31, "output_item.done"), (32, "output_item.added")
    ]  # fmt: skip
    item = found[3]["item"]
    state = provider_state.decode(item.pop("encrypted_content"))
    assert state == provider_state.ProviderState("openai", {"reasoning_details": [{"data": "x"}]})
    assert item == {
        "type": "reasoning", "id": f"rs_{RUN_ID}_state", "status": "completed", "summary": [], "content": []
    }  # fmt: skip
    assert found[2]["item"]["encrypted_content"] is None


def test_calls_follow_the_text_whole():
    """Each with its four events; a custom tool has its own kind."""
    tools = output.StoredRequest({"tools": [{"type": "custom", "name": "patch"}]})
    begun = msgspec.structs.replace(accepted(), request=msgspec.json.encode(tools).decode())
    run = entries((AT, begun), (AT, Started()), (AT, Answered("", finish="tools", calls=CALLS)))
    found = stream(run)
    assert short(found)[2:] == [
        (28, "output_item.added"),
        (29, "function_call_arguments.delta", '{"city":"Wien"}'),
        (30, "function_call_arguments.done", '{"city":"Wien"}'),
        (31, "output_item.done"),
        (32, "output_item.added"),
        (33, "custom_tool_call_input.delta", "***"),
        (34, "custom_tool_call_input.done"),
        (35, "output_item.done"),
        (36, "completed", "completed"),
    ]
    assert found[2]["item"]["arguments"] == found[6]["item"]["input"] == ""
    assert [event["output_index"] for event in found[2:-1]] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    "run",
    [
        entries(*BEGUN, (AT, ReasoningDelta("Hm.")), (AT, AnswerDelta("a")), (AT, Answered("b", calls=CALLS))),
        entries(
            *BEGUN, (AT, AnswerDelta("ab")), (AT, ReasoningDelta("Hm.")), (AT, AnswerDelta("c")), (AT, Answered(""))
        ),
        entries(*BEGUN, (AT, Answered("No.", finish="refusal"))),
        entries(*BEGUN, (AT, AnswerDelta("Half")), (AT, Answered(" of", finish="length"))),
        entries(*BEGUN, (AT, Answered("42", calls=CALLS, extras=STATE))),
    ],
    ids=["calls", "interleaved", "refusal", "length", "state"],
)
def test_items_and_ids_are_the_same_in_stream_and_object(run: list[Entry]):
    """In vllm-project/vllm PR 56285 they differed, and Codex failed."""
    found = stream(run)
    done = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert done == found[-1]["response"]["output"] == json.loads(dump_json(RESPONSES.response(run)[1]))["output"]
    added = [event["item"]["id"] for event in found if event["type"] == "response.output_item.added"]
    assert added == [item["id"] for item in done]
    assert [each["output_index"] for each in found if "item_id" in each] == sorted(
        each["output_index"] for each in found if "item_id" in each
    )


def test_an_answer_that_ended_early_is_incomplete():
    """Its last event says so."""
    last = stream(entries(*BEGUN, (AT, Answered("Half of", finish="length"))))[-1]
    assert (last["type"], last["response"]["incomplete_details"]) == (
        "response.incomplete", {"reason": "max_output_tokens"},
    )  # fmt: skip


def test_a_refusal():
    """It has events of its own, which clients show as a refusal."""
    assert [each[1:] for each in short(stream(entries(*BEGUN, (AT, Answered("I cannot.", finish="refusal")))))[2:]] == [
        ("output_item.added",),
        ("content_part.added",),
        ("refusal.delta", "I cannot."),
        ("refusal.done", "I cannot."),
        ("content_part.done",),
        ("output_item.done",),
        ("completed", "completed"),
    ]


def test_a_failure_has_its_words_in_both_events():
    """@ai-sdk/open-responses reads one of them, and others the other."""
    found = stream(entries(*BEGUN, (AT, AnswerDelta("Half of")), (AT, Failed("backend_error", "It broke."))))
    error, failed = found[-2:]
    assert [each["type"] for each in found[-4:-2]] == ["response.output_text.delta"] * 2
    assert error == {
        "type": "error", "sequence_number": 40, "code": "backend_error", "message": "It broke.", "param": None,
        "error": {"type": "server_error", "code": "backend_error", "message": "It broke.", "param": None},
    }  # fmt: skip
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 41)
    assert failed["response"]["error"] == {"code": "backend_error", "message": "It broke."}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Half of"


def test_silence_before_the_first_item_is_filled_with_the_whole_object():
    """A comment each tick, and every 15 seconds an event that clients count. It has the number of the one before it."""
    run = entries(*BEGUN, (AT + 31, Answered("Hi.")))
    found = stream(run)
    assert short(found)[:4] == [
        (8, "created", "in_progress"),
        (16, "in_progress", "in_progress"),
        (16, "in_progress", "in_progress"),
        (16, "in_progress", "in_progress"),
    ]
    assert found[2]["response"] == found[1]["response"]
    assert transcript(run).count("\n: processing") == 15


def test_silence_after_the_text_began_is_filled_with_empty_deltas():
    """openai-node's helper fails if an object replaces its snapshot then: "missing output at index 0"."""
    run = entries(*BEGUN, (AT, AnswerDelta("Hello you")), (AT + 20, Answered(" big world.")))
    deltas = [(event["sequence_number"], event["delta"]) for event in stream(run) if "delta" in event]
    assert deltas == [(32, "Hello yo"), (32, ""), (52, "u big world.")]


def test_silence_of_the_reasoning_is_filled_with_empty_deltas():
    """Its item is open."""
    run = entries(*BEGUN, (AT, ReasoningDelta("Hm.")), (AT + 17, Answered("Hi.")))
    deltas = [(event["type"], event["sequence_number"], event["delta"]) for event in stream(run) if "delta" in event]
    assert deltas[:2] == [
        ("response.reasoning_summary_text.delta", 27, "Hm."), ("response.reasoning_summary_text.delta", 27, ""),
    ]  # fmt: skip


def test_the_queue_has_its_status():
    """Past ticks are not replayed."""
    run = entries((AT, accepted()), (AT, Queued(3, 12.0)), (AT + 17, Started()), (AT + 18, Answered("Hi.")))
    assert short(stream(run))[:3] == [
        (8, "created", "in_progress"), (8, "queued", "queued"), (24, "in_progress", "in_progress"),
    ]  # fmt: skip
    assert ": queued 2.0s 3\n" in transcript(run)
    assert short(stream(run, since=AT + 60))[:2] == [(8, "created", "in_progress"), (24, "in_progress", "in_progress")]


def test_a_background_response_begins_as_queued():
    """As OpenAI's do."""
    request = msgspec.json.encode(output.StoredRequest({"background": True}, [])).decode()
    run = entries((AT, msgspec.structs.replace(accepted(), request=request)), (AT, Started()), (AT, Answered("Hi.")))
    assert [event["response"]["status"] for event in stream(run)[:2]] == ["queued", "in_progress"]


@pytest.mark.parametrize(
    ("heartbeat", "comments", "fillers"),
    [
        ("comment", 8, ["response.in_progress"]),
        ("delta", 0, ["response.in_progress"] * 8),
        ("keepalive", 0, ["keepalive"] * 8),
        ("progress", 0, ["persona_stream:progress"] * 8),
        ("off", 0, []),
    ],
)
def test_the_client_selects_its_heartbeat(heartbeat: str, comments: int, fillers: list[str]):
    """With X-Persona-Heartbeat."""
    run = entries(*BEGUN, (AT + 17, Answered("Hi.")))
    kinds = [event["type"] for event in stream(run, heartbeat=heartbeat)]
    assert kinds[2 : kinds.index("response.output_item.added")] == fillers
    assert transcript(run, heartbeat=heartbeat).count("\n: ") == comments


def test_progress_has_message_percentage_and_number():
    """Open Responses allows events of a server's own, if their name has its prefix."""
    run = entries(*BEGUN, (AT, ProgressReported("Reading", 0.5)), (AT + 3, Answered("Hi.")))
    event = stream(run, heartbeat="progress")[2]
    assert event == {
        "type": "persona_stream:progress", "sequence_number": 16, "message": "Reading", "percent": 50, "elapsed": 2.0,
        "eta": None,
    }  # fmt: skip


def test_progress_in_the_queue_has_its_text_in_the_language_of_the_subscriber():
    """The percentage comes with the start."""
    run = entries((AT, accepted()), (AT, Queued(3, 12.0)), (AT + 3, Started()), (AT + 4, Answered("Hi.")))
    event = stream(run, heartbeat="progress", locale="zh")[1]
    assert (event["type"], event["message"], event["percent"]) == (
        "persona_stream:progress", "排队等待中，第 3 位", None,
    )  # fmt: skip
    assert stream(run, heartbeat="progress")[1]["message"] == "Waiting in the queue, position 3"


def test_a_subscriber_in_the_middle_gets_the_item_it_is_in():
    """As one that comes from another protocol, with a position and no items."""
    run = entries(*BEGUN, (AT, Answered("Hello you big world. And more words.")))
    found = short(stream(run, start=Position(2, 10), since=AT + 60))
    assert found[:2] == [(20, "output_item.added"), (21, "content_part.added")]
    assert "".join(each[2] for each in found if each[1] == "output_text.delta") == "big world. And more words."
    assert found[-4][2] == "Hello you big world. And more words."


TEXTS = st.text(st.sampled_from("ab .é́👩‍👩🇦🇹。\n"), min_size=1, max_size=30)
FACTS = st.lists(
    st.one_of(
        TEXTS.map(AnswerDelta), TEXTS.map(AnswerDelta), TEXTS.map(ReasoningDelta), st.just(ProgressReported("x", 0.5))
    ),
    max_size=8,
)
ENDINGS: st.SearchStrategy[Fact] = st.one_of(
    TEXTS.map(Answered),
    st.builds(Answered, st.just(""), calls=st.just(CALLS), extras=st.sampled_from([None, STATE])),
    st.just(Failed("backend_error", "It broke.")),
)


@st.composite
def runs(draw: st.DrawFn) -> list[Entry]:
    """Return a run of any facts, over some seconds."""
    facts = [*draw(FACTS), draw(ENDINGS)]
    pauses = draw(st.lists(st.sampled_from([0.0, 0.3, 5.0, 16.0]), min_size=len(facts), max_size=len(facts)))
    return entries(*BEGUN, *((AT + sum(pauses[: index + 1]), fact) for index, fact in enumerate(facts)))


def news(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events without fillers, which repeat the number of the event before them."""
    found: list[dict[str, Any]] = []
    for event in events:
        if not found or event["sequence_number"] > found[-1]["sequence_number"]:
            found.append(event)
        else:
            assert event["sequence_number"] == found[-1]["sequence_number"]
            assert event["type"] in RESPONSE_EVENTS or event["delta"] == ""
    return found


@given(runs())
def test_every_replay_has_the_same_events_with_the_same_numbers(run: list[Entry]):
    """Live, and after the end, in another process: BerriAI/litellm #26762, vllm-project/vllm PR 23927."""
    live = news(stream(run))
    replayed = stream(run, since=AT + 1000)
    assert live == news(replayed)
    assert live[-1]["sequence_number"] == last_sequence_number(run)


@given(runs(), st.data())
def test_resuming_after_any_number_gives_the_rest(run: list[Entry], data: st.DataObject):
    """Raw clients send `starting_after`, and get each event once, also fillers aside."""
    whole = news(stream(run))
    number = data.draw(st.integers(0, last_sequence_number(run)))
    rest = stream(run, since=AT + data.draw(st.sampled_from([0.0, 3.0, 1000.0])), starting_after=number)
    assert news([event for event in rest if event["sequence_number"] > number]) == [
        event for event in whole if event["sequence_number"] > number
    ]
    assert all(
        event["type"] in RESPONSE_EVENTS or event["delta"] == "" for event in rest if event["sequence_number"] <= number
    )


@given(runs(), st.lists(st.integers(0, 400), max_size=4))
def test_a_client_that_resumes_again_and_again_gets_each_character_once(run: list[Entry], cuts: list[int]):
    """From whichever numbers its connections break."""
    last = -1
    got: list[str] = []
    for cut in [*sorted(cuts), 10**9]:
        for event in stream(run, starting_after=None if last < 0 else last):
            if event["sequence_number"] > cut:
                break
            last = max(last, event["sequence_number"])
            got.append(event["delta"] if event["type"] == "response.output_text.delta" else "")
    answer = "".join(segment.text for segment in output.output_segments(run) if segment.kind == "text")
    assert "".join(got) == answer


@given(runs())
def test_numbers_never_exceed_the_last_one_so_far(run: list[Entry]):
    """So a number beyond it is known to be wrong."""
    for length in range(1, len(run) + 1):
        encoder = ResponsesEncoder(run[:length])
        events = []
        for _, event in read_until(run[:length]):
            events += [json.loads(message.data) for message in encoder.encode(event) if message.data[:1] == b"{"]
        assert all(event["sequence_number"] <= last_sequence_number(run[:length]) for event in events)


def read_until(journal: list[Entry]) -> list[tuple[float, Any]]:
    """Return the events of a journal up to now; an unfinished one is given up at its deadline."""
    return [
        pair
        for pair in read(journal, subscription_options(reasoning=True), since=journal[-1].at)
        if not is_ending(pair[1])
    ]


def is_ending(event: Any) -> bool:
    return type(event).__name__ in ("RunFailed", "Completed")


def test_whole_responses_and_errors():
    """A failure has its HTTP status, as it comes before the first byte."""
    run = entries(*BEGUN, (AT, Failed("rate_limited", "Slow down.", 3.0)))
    status, body = RESPONSES.response(run)
    assert (status, json.loads(dump_json(body))["error"]["code"]) == (429, "rate_limit_exceeded")
    refused = RESPONSES.error(ErrorInfo(400, "invalid_request", "input: is required", "input"))
    assert json.loads(dump_json(refused)) == {
        "error": {
            "message": "input: is required",
            "type": "invalid_request_error",
            "param": "input",
            "code": "invalid_request",
        }
    }
