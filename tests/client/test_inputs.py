"""Answers to the questions of a backend, on a terminal and by a function."""

from __future__ import annotations

import os
import pty
import threading
from collections.abc import Iterator

import pytest

from persona_stream.client.inputs import InputQuestion, InputResponder, TerminalInput, find_terminal_descriptor
from persona_stream.client.models import Request, parse_reply
from persona_stream.client.session import Received
from tests.client.fakes import EN, OPENING, FakeTransport, finished, head, json_head, pipe, processing, tty

ASKED = {
    "success": True, "data": "", "status": "input_required", "input_id": "q1", "message": "Which\x1b file?",
    "choices": ["a.txt", "b.txt"], "expires_in": 60.0, "elapsed_time": 1.0,
}  # fmt: skip


@pytest.fixture
def typing() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: where the user types, and where the program reads."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def question(is_open: threading.Event, choices: tuple[str, ...] | None = ("a.txt", "b.txt")) -> InputQuestion:
    return InputQuestion("run-1", "q1", "Which\x1b file?", choices, 60.0, is_open.is_set)


def opened() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def type_after_prompt(shown: object, typed: int, *lines: str) -> threading.Thread:
    """Type each line after the next prompt, since earlier ones are discarded."""

    def work() -> None:
        for number, line in enumerate(lines, 1):
            while shown.getvalue().count("> ") < number:
                pass
            os.write(typed, f"{line}\n".encode())

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(("lines", "choices", "answer"), [
    (["2"], ("a.txt", "b.txt"), "b.txt"),
    (["3", "x", "a.txt"], ("a.txt", "b.txt"), "a.txt"),
    ([" Ada "], None, " Ada "),
    ([""], None, ""),
])  # fmt: skip
def test_the_user_answers_with_a_number_a_choice_or_a_text(typing, lines, choices, answer):
    """Invalid input is asked for again; control characters of the question are visible."""
    terminal, shown = tty()
    thread = type_after_prompt(shown, typing[0], *lines)
    assert TerminalInput(terminal, EN, lambda: typing[1])(question(opened(), choices)) == answer
    thread.join()
    assert "Which\u241b file?" in shown.getvalue()
    assert shown.getvalue().count("Enter a number from 1 to 2") == len(lines) - 1


def test_reading_ends_when_the_question_is_closed(typing):
    """So that the next line answers the next question."""
    terminal, shown = tty()
    is_open = opened()
    threading.Timer(0.05, is_open.clear).start()
    user = TerminalInput(terminal, EN, lambda: typing[1])
    assert user(question(is_open)) is None
    user.show_closed()
    user.show_closed()
    assert shown.getvalue().endswith("> \nThe question is not open any more.\n")


def test_a_pipe_reports_the_question():
    """The backend goes on without an answer."""
    terminal, shown = pipe()
    ask = TerminalInput(terminal, EN, lambda: find_terminal_descriptor(terminal))
    assert ask(question(opened())) is None
    assert shown.getvalue().startswith("The backend asks: Which\u241b file? There is no terminal to answer from")


class Answering:
    """Responder with scripted responses, whose function answers with these values."""

    def __init__(self, values: list[str | None], *responses: list[object]) -> None:
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        self.questions: list[InputQuestion] = []
        self._values = values
        self._responses = list(responses)
        self.done = threading.Event()
        self.closed = 0
        self.responder = InputResponder(self._create, self._answer, self.refusals.append, self._on_closed, "en")

    def _create(self) -> FakeTransport:
        transport = FakeTransport([self._responses.pop(0)])
        transport.requests = self.requests
        return transport

    def _answer(self, question: InputQuestion) -> str | None:
        self.questions.append(question)
        if not self._values:
            self.done.set()
            return None
        return self._values.pop(0)

    def _on_closed(self) -> None:
        self.closed += 1

    def receive(self, *payloads: dict[str, object]) -> None:
        for payload in payloads:
            update = Received(parse_reply(payload))
            self.responder.close(update)
            self.responder(update)


def test_a_question_is_answered_once_although_it_is_repeated():
    """An invalid answer is asked for again."""
    refusal = b'{"error":"value: must be one of a.txt, b.txt"}'
    given = Answering(["c.txt"], [json_head(400), refusal, finished])
    given.receive(OPENING, ASKED, ASKED)
    assert given.done.wait(20)
    given.receive(ASKED)
    assert [request.path for request in given.requests] == ["/api/runs/run-1/input"]
    assert given.requests[0].body == b'{"input_id": "q1", "value": "c.txt"}'
    assert given.refusals == ["value: must be one of a.txt, b.txt"]
    assert [(each.run_id, each.input_id, each.choices) for each in given.questions] == [
        ("run-1", "q1", ("a.txt", "b.txt"))
    ] * 2
    assert given.questions[0].is_open()
    assert given.closed == 0
    given.receive(processing(2.0), processing(4.0))
    assert not given.questions[0].is_open()
    assert given.closed == 1


def test_an_answer_whose_response_is_lost_is_sent_again_with_its_key(monkeypatch):
    """The server takes it once."""
    monkeypatch.setattr("persona_stream.client.inputs.RETRY_DELAY", 0.0)
    sent = threading.Event()
    given = Answering(["b.txt"], [head(502)], [json_head(200), lambda at: sent.set() or finished(at)])
    given.receive(OPENING, ASKED)
    assert sent.wait(20)
    assert len({request.headers["Idempotency-Key"] for request in given.requests}) == 1
    assert given.refusals == []
