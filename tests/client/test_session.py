"""Sessions through broken connections in virtual time, and the resume state."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.models import ExitCode, Question, parse_reply
from persona_stream.client.policy import Fail, RetryPolicy
from persona_stream.client.session import (
    CancelRequested,
    ChatSession,
    Received,
    Reconnecting,
    ResumeState,
    SessionFinished,
    Tick,
    Update,
)
from persona_stream.core.sse import ServerSentEvent
from tests.client.fakes import (
    COMPLETE,
    OPENING,
    RUN,
    FakeTransport,
    broken,
    chunk,
    failure,
    finished,
    frame,
    head,
    json_head,
    processing,
)

START = [head(), frame(OPENING, "1.0"), frame(processing(0.0, 5), "2.0")]
REST = [frame(chunk("Hello "), "2.6"), frame(chunk("world"), "2.11"), frame(COMPLETE, "3.0"), finished]
CANCELLED = [json_head(), b"{}", finished]
BUSY = json_head(503, retry_after="4")


def ask(*scripts: list[Any], timeout: float = 180.0, **more: Any) -> tuple[list[Update], FakeTransport]:
    """Return the updates of a session over these connections, without ticks, and the transport."""
    endpoint = more.pop("endpoint", "smart")
    transport = FakeTransport(list(scripts), **more)
    session = ChatSession(
        Question(username="VitalikButerin", message="你好", endpoint=endpoint),
        transport,
        key="key-1",
        clock=transport.clock,
        timeout=timeout,
        jitter=lambda: 1.0,
        retry_policy=RetryPolicy(initial_delay=1.0, max_delay=8.0, max_initial_attempts=3, max_resume_attempts=5),
    )
    return [update for update in session.updates() if not isinstance(update, Tick)], transport


def text(updates: list[Update]) -> str:
    """Return the answer."""
    return "".join(update.reply.data for update in updates if isinstance(update, Received))


def end(updates: list[Update]) -> SessionFinished:
    """Return the end of the session, asserting that it is the last update and the only one of its kind."""
    assert [isinstance(update, SessionFinished) for update in updates].count(True) == 1
    last = updates[-1]
    assert isinstance(last, SessionFinished)
    return last


def sent(transport: FakeTransport) -> list[str]:
    """Return method and path of the requests."""
    return [f"{request.method} {request.path}" for request in transport.requests]


SMART = "POST /api/stream_chat_smart"
EVENTS = f"GET /api/runs/{RUN}/events"
CANCEL = f"POST /api/runs/{RUN}/cancel"
FETCH = f"GET /api/runs/{RUN}"


def test_an_answer_arrives_through_one_connection() -> None:
    """Every event is reported in order, followed by the outcome."""
    updates, transport = ask([*START, 2.0, *REST])
    statuses = [update.reply.status for update in updates if isinstance(update, Received)]
    assert statuses == ["initializing", "processing", "streaming", "streaming", "complete"]
    assert text(updates) == "Hello world"
    last = end(updates)
    assert (last.end.outcome, last.run_id, last.conversation_id) == (ExitCode.ANSWERED, RUN, "talk-1")
    assert (last.characters, last.seconds) == (11, 8.2)  # the server's total, which includes the delivery
    assert sent(transport) == [SMART]


@pytest.mark.parametrize("cut", [finished, broken(), broken("silence")], ids=["clean end", "break", "silence"])
def test_a_connection_that_ends_early_is_resumed(cut: Any) -> None:
    """A regular end without the terminal event is a broken connection too."""
    updates, transport = ask([*START, REST[0], cut], [head(), frame(processing(3.0), "2.6"), *REST[1:]])
    assert text(updates) == "Hello world"
    assert sent(transport) == [SMART, EVENTS]
    assert transport.requests[1].headers["Last-Event-ID"] == f"{RUN}/2.6".encode()
    assert [request.headers["X-Persona-Resume"] for request in transport.requests] == ["1", "1"]
    assert transport.opened_at == [1000.0, 1001.0]


def test_repeated_text_is_dropped() -> None:
    """Text at a position already reached is not reported again."""
    updates, _ = ask([*START, REST[0], broken()], [*START, *REST])
    assert text(updates) == "Hello world"


def test_half_an_event_is_repeated() -> None:
    """A break in the middle of an event repeats it on the next connection."""
    updates, transport = ask([*START, REST[0], REST[1][:20], broken()], [head(), *REST[1:]])
    assert text(updates) == "Hello world"
    assert transport.requests[1].headers["Last-Event-ID"] == f"{RUN}/2.6".encode()


@pytest.mark.parametrize("garbage", ["{", "[]", "null", "[" * 100_000, '"text"'], ids=range(5))
def test_a_damaged_event_is_fetched_again(garbage: str) -> None:
    """An event that cannot be parsed does not change the position."""
    updates, transport = ask([*START, frame(garbage, "2.6"), 100.0], [head(), *REST])
    assert text(updates) == "Hello world"
    assert transport.requests[1].headers["Last-Event-ID"] == f"{RUN}/2.0".encode()
    assert [update.code for update in updates if isinstance(update, Reconnecting)] == ["garbled"]


def test_before_the_run_is_known_the_same_post_is_repeated() -> None:
    """The idempotency key joins the run that the lost response may have started."""
    updates, transport = ask([broken()], [broken("silence")], [*START, *REST])
    assert text(updates) == "Hello world"
    assert sent(transport) == [SMART] * 3
    assert {request.headers["Idempotency-Key"] for request in transport.requests} == {"key-1"}
    assert len({request.body for request in transport.requests}) == 1


def test_once_the_headers_name_the_run_it_is_never_started_again() -> None:
    """Not even after a break before the first event."""
    _, transport = ask([head(), broken()], [head(), frame(OPENING, "1.0"), *REST])
    assert sent(transport) == [SMART, EVENTS]
    assert "Last-Event-ID" not in transport.requests[1].headers


def test_an_unreachable_server_fails_after_three_attempts() -> None:
    """With growing delays; it is not a refusal."""
    updates, transport = ask(*[[broken("unreachable")]] * 3)
    assert (end(updates).end.outcome, end(updates).end.code) == (ExitCode.FAILED, "unreachable")
    assert [update.wait for update in updates if isinstance(update, Reconnecting)] == [1.0, 2.0]
    assert len(transport.opened_at) == 3


def test_a_tls_error_is_not_retried() -> None:
    """A second attempt would fail too."""
    updates, _ = ask([broken("tls")])
    assert (end(updates).end.outcome, end(updates).end.code) == (ExitCode.FAILED, "tls")


def test_failed_attempts_are_limited() -> None:
    """The session fails after the maximum without anything new; the text received counts."""
    updates, transport = ask([*START, REST[0], broken()], *[[broken("unreachable")]] * 4)
    assert end(updates).end == Fail(ExitCode.FAILED, "unreachable", "Connection reset by peer")
    assert end(updates).characters == 6
    assert [round(later - before) for before, later in pairwise(transport.opened_at)] == [1, 2, 4, 8]


def test_progress_resets_the_count_of_failures() -> None:
    """A later position does, and so does a connection that lasted."""
    moving = [[head(), frame(chunk("x"), f"2.{n}"), broken()] for n in range(1, 9)]
    lasting = [[head(), 4.0, frame(processing(n), "2.8"), broken()] for n in range(8)]
    updates, _ = ask([*START, broken()], *moving, *lasting, [head(), frame(COMPLETE, "3.0")])
    assert end(updates).end.outcome is ExitCode.ANSWERED
    assert {update.wait for update in updates if isinstance(update, Reconnecting)} == {1.0}


def test_a_repeated_position_is_no_progress() -> None:
    """Connections that repeat it and break at once exhaust the attempts."""
    updates, _ = ask([*START, broken()], *[[head(), frame(processing(1), "2.0"), broken()]] * 4)
    assert end(updates).end.outcome is ExitCode.FAILED


def test_retry_after_is_respected() -> None:
    """On a reconnect, 503 and 429 are retried after the seconds of the header."""
    updates, transport = ask([*START, broken()], [BUSY, b"", finished], [head(), *REST])
    assert text(updates) == "Hello world"
    assert [update.wait for update in updates if isinstance(update, Reconnecting)] == [1.0, 4.0]
    assert transport.opened_at == [1000.0, 1001.0, 1005.0]


def test_a_delay_beyond_the_deadline_ends_the_session() -> None:
    """At once, as a timeout, and the run is cancelled."""
    updates, transport = ask([*START, broken()], [json_head(503, retry_after="500"), b"", finished], CANCELLED)
    assert end(updates).end.outcome is ExitCode.TIMEOUT
    assert end(updates).seconds < 2
    assert sent(transport) == [SMART, EVENTS, CANCEL]


def test_the_retry_field_of_a_stream_is_respected() -> None:
    """It is the minimum delay."""
    updates, _ = ask([*START, b"retry: 7000\n\n", broken()], [head(), *REST])
    assert [update.wait for update in updates if isinstance(update, Reconnecting)] == [7.0]


def test_a_repeated_post_is_retried_while_the_server_is_at_capacity() -> None:
    """The first one may have started a run; the final failure counts as a refusal."""
    updates, _ = ask([broken()], [BUSY, b"", finished], [BUSY, b"", finished])
    assert end(updates).end.outcome is ExitCode.REFUSED
    updates, _ = ask([broken()], [BUSY, b"", finished], [*START, *REST])
    assert end(updates).end.outcome is ExitCode.ANSWERED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 429, 503])
@pytest.mark.parametrize("kind", ["events", "json", "foreign"])
def test_a_refusal_is_not_retried(status: int, kind: str) -> None:
    """In any form; the server's object is kept if there is one."""
    object_ = failure("some_code", "no")
    script = {
        "events": [head(status, content_type="text/event-stream"), frame(object_), finished],
        "json": [json_head(status), frame(object_).removeprefix(b"data: "), finished],
        "foreign": [head(status, content_type="text/html"), b"<h1>no</h1>", finished],
    }[kind]
    updates, transport = ask(script)
    final = end(updates).end
    assert (final.outcome, final.status) == (ExitCode.REFUSED, status)
    assert (final.reply.payload if final.reply else None) == (None if kind == "foreign" else object_)
    assert sent(transport) == [SMART]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([json_head(500), b'{"code":"internal","error":"x"}', finished], "internal"),
        ([head(500, content_type="text/html"), finished], "http_500"),
        ([head(302, location="https://elsewhere.example/"), finished], "redirected"),
        ([head(200, content_type="text/html"), b"<h1>hello</h1>", finished], "not_ours"),
        ([json_head(200), b'{"status":"complete","data":"x","is_complete":true}', finished], "not_ours"),
        ([head(204, x="y"), finished], "not_ours"),
    ],
)
def test_an_unexpected_response_is_a_failure(script: list[Any], code: str) -> None:
    """With a code for its kind, and without another attempt."""
    updates, _ = ask(script)
    assert (end(updates).end.outcome, end(updates).end.code) == (ExitCode.FAILED, code)


def test_a_gateway_error_is_retried() -> None:
    """502 and 504 of a proxy, with the same key."""
    updates, transport = ask([head(502, content_type="text/html"), b"<h1>", finished], [*START, *REST])
    assert text(updates) == "Hello world"
    assert sent(transport) == [SMART, SMART]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "run_gone"),
        (410, "run_gone"),
        (400, "http_400"),
        (401, "http_401"),
        (302, "redirected"),
        (200, "not_ours"),
    ],
)
def test_a_run_that_cannot_be_read_is_not_started_again(status: int, code: str) -> None:
    """It is a failure and not a refusal, since the answer had begun."""
    updates, transport = ask([*START, REST[0], broken()], [head(status, x="y"), finished])
    assert (end(updates).end.outcome, end(updates).end.code) == (ExitCode.FAILED, code)
    assert sent(transport) == [SMART, EVENTS]


@pytest.mark.parametrize(
    ("terminal", "outcome"),
    [
        (failure("backend_error", "no money"), ExitCode.FAILED),
        (failure("lost"), ExitCode.FAILED),
        (failure("draining"), ExitCode.FAILED),
        (failure("timeout", status="timeout"), ExitCode.TIMEOUT),
        (failure("cancelled", status="cancelled"), ExitCode.CANCELLED),
        ({"is_complete": True}, ExitCode.FAILED),
    ],
)
def test_every_terminal_event_has_its_outcome(terminal: dict[str, Any], outcome: ExitCode) -> None:
    """Events after the terminal one are ignored."""
    updates, transport = ask([*START, frame(terminal, "3.0"), 50.0, frame(chunk("late"), "4.0")])
    assert end(updates).end.outcome is outcome
    assert text(updates) == ""
    assert sent(transport) == [SMART]


def test_a_lost_terminal_event_is_fetched() -> None:
    """After 204, the run has the outcome and the missing text."""
    run = {"success": True, "run_id": RUN, "status": "complete", "data": "Hello world", "elapsed_time": 3.0}
    updates, transport = ask(
        [*START, REST[0], broken()], [head(204, x="y"), finished], [json_head(), frame(run)[6:], finished]
    )
    assert text(updates) == "Hello world"
    assert end(updates).end.outcome is ExitCode.ANSWERED
    assert end(updates).characters == 11
    assert sent(transport) == [SMART, EVENTS, FETCH]


def test_a_lost_failure_is_fetched() -> None:
    """As for an answer."""
    run = {"success": False, "run_id": RUN, "status": "error", "data": None, "error": "no", "code": "lost"}
    updates, _ = ask([*START, broken()], [head(204, x="y"), finished], [json_head(), frame(run)[6:], finished])
    assert (end(updates).end.outcome, end(updates).end.code) == (ExitCode.FAILED, "lost")


def test_named_events_and_comments_are_ignored() -> None:
    """Proxies may add them."""
    updates, _ = ask([*START, b": farewell\n\n", b"event: ping\ndata: {}\n\n", *REST])
    assert text(updates) == "Hello world"
    assert len([update for update in updates if isinstance(update, Received)]) == 5


def test_unknown_statuses_are_passed_on() -> None:
    """They change nothing else."""
    updates, _ = ask([*START, frame({"status": "dreaming", "data": None, "progress": "NaN"}, "2.0"), *REST])
    assert text(updates) == "Hello world"


def test_the_timeout_cancels_the_run() -> None:
    """It is exact."""
    updates, transport = ask([*START, 500.0], CANCELLED, timeout=30.0)
    last = end(updates)
    assert (last.end.outcome, last.end.code, last.is_stopped) == (ExitCode.TIMEOUT, "client_timeout", True)
    assert last.seconds == pytest.approx(30.0)
    assert sent(transport) == [SMART, CANCEL]


def test_events_do_not_extend_the_timeout() -> None:
    """A server that sends events without end cannot postpone it."""
    endless = [step for n in range(1, 400) for step in (1.0, frame(processing(n), "2.0"))]
    updates, _ = ask([*START, *endless], CANCELLED, timeout=60.0)
    assert end(updates).end.outcome is ExitCode.TIMEOUT
    assert end(updates).seconds == pytest.approx(60.0, abs=1.0)


def test_a_message_that_arrived_in_time_is_not_late() -> None:
    """A slow terminal may delay its reading beyond the deadline."""
    transport = FakeTransport([[*START, *REST]])
    session = ChatSession(
        Question(username="u", message="m"), transport, key="k", clock=transport.clock, timeout=30.0, jitter=lambda: 1.0
    )
    updates = []
    for update in session.updates():
        updates.append(update)
        if isinstance(update, Received):
            transport.now += 100.0
    assert end(updates).end.outcome is ExitCode.ANSWERED


def test_an_interruption_cancels_the_run() -> None:
    """The outcome is a cancellation."""
    updates, transport = ask([*START, 500.0], CANCELLED, interrupt_at=[1003.0])
    assert [type(update) for update in updates[-2:]] == [CancelRequested, SessionFinished]
    last = end(updates)
    assert (last.end.outcome, last.is_stopped, last.seconds) == (ExitCode.CANCELLED, True, 3.0)
    assert sent(transport) == [SMART, CANCEL]


@pytest.mark.parametrize("script", [[], [broken()], [json_head(500), b"", finished]], ids=["silent", "broken", "500"])
def test_an_unconfirmed_cancellation_ends_after_three_seconds(script: list[Any]) -> None:
    """And is reported as unconfirmed."""
    updates, _ = ask([*START, 500.0], script, interrupt_at=[1003.0])
    assert (end(updates).end.outcome, end(updates).is_stopped) == (ExitCode.CANCELLED, False)
    assert end(updates).seconds <= 6.5


def test_an_interruption_before_the_run_is_known_sends_nothing() -> None:
    """There is no run id to cancel."""
    updates, transport = ask([], interrupt_at=[1001.0])
    assert (end(updates).end.outcome, end(updates).is_stopped) == (ExitCode.CANCELLED, None)
    assert sent(transport) == [SMART]


def test_an_interruption_between_two_connections_cancels_the_run() -> None:
    """During the delay before a reconnect."""
    updates, transport = ask([*START, broken()], CANCELLED, interrupt_at=[1000.5])
    assert end(updates).end.outcome is ExitCode.CANCELLED
    assert sent(transport) == [SMART, CANCEL]


ANSWERED = {"success": True, "data": "Hello world", "status": "complete", "is_complete": True, "run_id": RUN}


def test_chat_answers_with_one_object() -> None:
    """After any silence before it."""
    body = frame(ANSWERED)[6:]
    updates, transport = ask([100.0, json_head(), body[:9], 1.0, body[9:], finished], endpoint="chat")
    assert text(updates) == "Hello world"
    assert end(updates).end.outcome is ExitCode.ANSWERED
    assert (end(updates).run_id, end(updates).characters) == (RUN, 11)
    assert sent(transport) == ["POST /api/chat"]
    assert transport.requests[0].headers["Accept"] == "application/json"
    assert transport.requests[0].read_timeout is None


def test_chat_joins_its_run_after_a_break() -> None:
    """The same POST with the same key returns the answer of the first run."""
    updates, transport = ask([60.0, broken()], [30.0, json_head(), frame(ANSWERED)[6:], finished], endpoint="chat")
    assert text(updates) == "Hello world"
    assert len({(request.body, request.headers["Idempotency-Key"]) for request in transport.requests}) == 1


@pytest.mark.parametrize(
    ("status", "terminal", "outcome"),
    [
        (504, failure("timeout", status="timeout"), ExitCode.TIMEOUT),
        (502, failure("backend_error"), ExitCode.FAILED),
        (502, failure("lost"), ExitCode.FAILED),
        (500, failure("internal"), ExitCode.FAILED),
        (409, failure("cancelled", status="cancelled"), ExitCode.CANCELLED),
        (409, failure("conflict"), ExitCode.REFUSED),
        (429, failure("busy"), ExitCode.REFUSED),
        (503, failure("draining"), ExitCode.REFUSED),
    ],
)
def test_chat_distinguishes_a_failed_run_from_a_refusal(
    status: int, terminal: dict[str, Any], outcome: ExitCode
) -> None:
    """By the code, since the HTTP statuses overlap; nothing is run a second time."""
    updates, transport = ask([json_head(status), frame(terminal)[6:], finished], endpoint="chat")
    assert end(updates).end.outcome is outcome
    assert len(transport.requests) == 1


@given(st.data())
def test_an_answer_is_complete_wherever_connections_break(data: st.DataObject) -> None:
    """Every character is reported exactly once, with one POST."""
    chunks = ["Hello ", "世界", "，👍", " and", " good", " night"]
    ends = [len("".join(chunks[: n + 1])) for n in range(len(chunks))]
    frames = [frame(OPENING, "1.0"), frame(processing(0), "2.0")]
    frames += [frame(chunk(part), f"2.{at}") for part, at in zip(chunks, ends, strict=True)]
    frames.append(frame(COMPLETE, "3.0"))
    scripts, held = [], 0
    while held < len(frames):
        wire = b"".join(frames[held:])
        cut = data.draw(st.integers(0, len(wire)), label="bytes of this connection")
        scripts.append(
            [head(), wire[: cut // 2], wire[cut // 2 : cut], data.draw(st.sampled_from([finished, broken()]))]
        )
        # A resumed stream continues after its last complete event.
        whole, length = held, 0
        while whole < len(frames) and length + len(frames[whole]) <= cut:
            length += len(frames[whole])
            whole += 1
        if whole == held and len(scripts) > 3:
            scripts[-1] = [head(), wire, finished]
            whole = len(frames)
        held = whole
    updates, transport = ask(*scripts, timeout=10_000.0)
    assert text(updates) == "".join(chunks)
    assert end(updates).end.outcome is ExitCode.ANSWERED
    assert [request.method for request in transport.requests] == ["POST"] + ["GET"] * (len(transport.requests) - 1)


def test_the_run_id_is_set_once() -> None:
    """A later one is ignored, and so is one that is too long."""
    state = ResumeState()
    state.set_run_id("")
    state.set_run_id("x" * 10_000)
    assert state.run_id == ""
    state.set_run_id(RUN)
    state.accept(ServerSentEvent(id=""), parse_reply({**OPENING, "run_id": "another"}))
    assert (state.run_id, state.conversation_id) == (RUN, "talk-1")


def test_text_counts_once_by_its_position() -> None:
    """Progress events at a position already reached are accepted."""
    state = ResumeState()
    state.set_run_id(RUN)
    hello = parse_reply(chunk("Hello"))
    assert state.accept(ServerSentEvent(id=f"{RUN}/2.5"), hello)
    assert not state.accept(ServerSentEvent(id=f"{RUN}/2.5"), hello)
    assert not state.accept(ServerSentEvent(id=f"{RUN}/2.3"), hello)
    assert state.accept(ServerSentEvent(id=f"{RUN}/2.5"), parse_reply(processing(1.0)))
    assert state.accept(ServerSentEvent(id=f"{RUN}/3.0"), hello)
    assert state.characters == 10


def test_reasoning_counts_once_too() -> None:
    """It is not part of the answer."""
    state = ResumeState()
    state.set_run_id(RUN)
    thought = parse_reply({"status": "reasoning", "data": "", "reasoning": "hm"})
    assert state.accept(ServerSentEvent(id=f"{RUN}/2.2"), thought)
    assert not state.accept(ServerSentEvent(id=f"{RUN}/2.2"), thought)
    assert state.characters == 0


def test_an_event_without_an_id_keeps_the_last_one() -> None:
    """Otherwise a break after it would repeat everything."""
    state = ResumeState()
    state.set_run_id(RUN)
    state.accept(ServerSentEvent(id=f"{RUN}/2.5"), parse_reply(chunk("Hello")))
    assert state.accept(ServerSentEvent(id=""), parse_reply(chunk(" there")))
    assert state.last_event_id == f"{RUN}/2.5"


def test_ids_of_another_format_are_trusted() -> None:
    """Nothing is dropped, and the id still serves to resume."""
    state = ResumeState()
    state.set_run_id(RUN)
    assert state.accept(ServerSentEvent(id="7"), parse_reply(chunk("a")))
    assert state.accept(ServerSentEvent(id="7"), parse_reply(chunk("b")))
    assert (state.last_event_id, state.characters, state.is_progress("8")) == ("7", 2, False)


def test_only_a_later_position_is_progress() -> None:
    """An earlier one, or one of another run, is none."""
    state = ResumeState()
    state.set_run_id(RUN)
    state.accept(ServerSentEvent(id=f"{RUN}/2.5"), parse_reply(chunk("Hello")))
    assert state.is_progress(f"{RUN}/2.6")
    assert state.is_progress(f"{RUN}/3.0")
    assert not state.is_progress(f"{RUN}/2.5")
    assert not state.is_progress("another/9.9")
