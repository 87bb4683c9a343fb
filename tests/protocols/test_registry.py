"""Tests of the registry, and the contract that every registered protocol keeps."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.core.events import Progress
from persona_stream.core.facts import AnswerDelta, Answered, Entry, Failed, ProgressReported, ReasoningDelta, Started
from persona_stream.core.forecast import Forecast
from persona_stream.core.projection import SMART
from persona_stream.core.sse import SSEDecoder, encode_all
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, dump_json
from persona_stream.protocols.registry import PROTOCOLS, find_protocol, is_run_endpoint
from tests.fakes import accepted, entries, read, subscription_options

RUNNING = entries((0.0, accepted()), (0.0, Started()), (1.0, ProgressReported("Reading", 0.5)))
RUNS = {
    "answered": [*RUNNING, *entries((5.0, Answered("你好, world. Some more words.")))],
    "streamed": [*RUNNING, *entries((2.0, AnswerDelta("你好, ")), (3.0, AnswerDelta("world")), (5.0, Answered(".")))],
    "reasoned": [*RUNNING, *entries((2.0, ReasoningDelta("Hm.")), (5.0, Answered("Yes.")))],
    "failed": [*RUNNING, *entries((2.0, AnswerDelta("Half")), (5.0, Failed("backend_error", "Closed.")))],
}
OPTIONS = EncoderOptions(style=SMART, locale="en", events_url="/api/runs/x/events")

protocols = pytest.mark.parametrize("name", PROTOCOLS)


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/", (), "native"),
        ("/api/chat", ("anthropic-version",), "native"),
        ("/api/ui/chat", (), "ui"),
        ("/api/ui/chat/1/stream", ("anthropic-version",), "ui"),
        ("/v1", (), "native"),
        ("/v1/chat/completions", (), "openai"),
        ("/v1/chat/completions", ("anthropic-version",), "openai"),
        ("/v1/completions", ("anthropic-version",), "openai"),
        ("/v1/models", (), "openai"),
        ("/v1/models", ("anthropic-version",), "anthropic"),
        ("/v1/unknown", ("anthropic-version",), "anthropic"),
        ("/v1/messages", (), "anthropic"),
        ("/v1/messages/count_tokens", (), "anthropic"),
    ],
)
def test_a_request_is_matched_to_its_protocol(path: str, headers: tuple[str, ...], name: str) -> None:
    """By the longest path prefix; on paths that protocols share, by the header."""
    assert find_protocol(path, headers).name == name


def test_run_endpoints_are_those_of_the_protocols() -> None:
    """Other paths are not counted separately by metrics."""
    assert is_run_endpoint("/api/stream_chat_smart")
    assert not is_run_endpoint("/v1/models")


@protocols
@pytest.mark.parametrize("run", RUNS)
def test_messages_are_well_formed(name: str, run: str) -> None:
    """No message breaks its frame: the decoder returns the same data and names."""
    encoder = PROTOCOLS[name].encoder(RUNS[run], OPTIONS)
    messages = [
        message
        for _, event in read(RUNS[run], subscription_options(reasoning=True))
        for message in encoder.encode(event)
    ]
    decoded = SSEDecoder().feed(encode_all(messages))
    assert [(each.data, each.event) for each in decoded] == [(each.data, each.event) for each in messages if each.data]


@protocols
def test_a_running_run_has_no_response(name: str) -> None:
    """It is a programming error to ask for it."""
    with pytest.raises(TypeError, match="has not ended"):
        PROTOCOLS[name].response(RUNNING)


@protocols
@pytest.mark.parametrize("run", RUNS)
def test_the_response_of_a_run_has_its_status(name: str, run: str) -> None:
    """And a body that can be encoded."""
    status, body = PROTOCOLS[name].response(RUNS[run])
    assert status == (502 if run == "failed" else 200)
    assert dump_json(body).startswith(b"{")


@protocols
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500, 503])
def test_every_error_has_a_body_with_its_text(name: str, status: int) -> None:
    """For every status."""
    body = PROTOCOLS[name].error(ErrorInfo(status, "invalid_request", "message: is required", "message"))
    assert b'"message: is required"' in dump_json(body)


@given(
    st.sampled_from([None, Forecast((10.0, 20.0, 40.0), (250, 600, 900), (0, 500, 1000), runs=20)]),
    st.lists(st.tuples(st.floats(0, 30), st.none() | st.floats(0, 1)), max_size=6),
    st.integers(0, 20 * 64).map(lambda count: count / 64),
)
@settings(max_examples=20)
def test_progress_is_the_same_in_all_protocols_and_processes(forecast, reports, since):
    """At the same time, for each subscriber, also where the facts come from a store. Anthropic's clients get pings."""
    run = entries(
        (0.0, accepted(deadline=60.0)),
        (0.0, Started(0, forecast)),
        *((at, ProgressReported("", fraction)) for at, fraction in sorted(reports, key=lambda report: report[0])),
        (31.0, Failed("internal")),
    )
    stored = [msgspec.json.decode(msgspec.json.encode(entry), type=Entry) for entry in run]
    expected = _shown_progress("native", run, 0.0)
    assert len(expected) > 10
    for name in PROTOCOLS.keys() - {"anthropic"}:
        shown = _shown_progress(name, stored, since)
        assert len(shown) > 1
        common = shown.keys() & expected.keys()
        assert {at: shown[at] for at in common} == {at: expected[at] for at in common}


def _shown_progress(name: str, run: list[Entry], since: float) -> dict[float, int]:
    """Return the percentages that a subscriber is sent before the text, by the seconds since the start."""
    encoder = PROTOCOLS[name].encoder(run, OPTIONS)
    shown = {}
    for at, event in read(run, subscription_options(), since=since):
        text = encode_all(encoder.encode(event)).decode()
        found = re.search(r'"(?:progress|percent)":(\d+)|processing [\d.]+s (\d+)%', text)
        if isinstance(event, Progress) and event.elapsed > 0 and found is not None:  # not the start, which is repeated
            shown[at] = int(found[1] or found[2])
    return shown
