"""Questions of a backend to the user, over HTTP: asked, answered, refused, expired."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.documents import BACKENDS, BACKENDS_ZH, Document
from tests.http.conftest import SERVERS
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import ReceivedEvent, answer, events, read
from tests.websocket_client import WebSocketClient

STREAMS = ["/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart"]


@pytest.fixture(scope="module", params=SERVERS)
def asking(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server whose backend asks, in a worker process."""
    server = serve("tests.http.asking_backend:ask", module=SERVERS[request.param], cache="10m", timeout=20)
    yield server
    assert server.stop() == 0


class Asked:
    """Stream that has reached its question.

    Attributes:
        received: the events so far.
        question: the last of them, which asks.
    """

    def __init__(self, server: ServerProcess, message: str, path: str = STREAMS[2]) -> None:
        self.server = server
        self._events = events(server.post(path, {"message": message, "locale": "en"}, stream=True))
        self.received: list[ReceivedEvent] = []
        for event in self._events:
            self.received.append(event)
            if event.data["status"] == "input_required":
                break
        self.question = self.received[-1].data
        self.run_id = self.received[0].data["run_id"]

    def answer(self, value: str, user: str = "alice", **more: object) -> requests.Response:
        body = {"input_id": self.question["input_id"], "value": value, **more}
        return self.server.post(f"/api/runs/{self.run_id}/input", body, user=user)

    def rest(self) -> list[ReceivedEvent]:
        return list(self._events)


@pytest.mark.parametrize("path", STREAMS)
def test_a_question_waits_for_its_answer(asking: ServerProcess, path: str):
    """It has the form of the contract, and the view of the run has it too; the text before it has arrived."""
    asked = Asked(asking, "which 15", path)
    assert answer(asked.received) == "Let me see. "
    input_id = asked.question.pop("input_id")
    expires_in = asked.question.pop("expires_in")
    assert 5.0 < expires_in <= 15.0
    assert asked.question.pop("elapsed_time") >= 0.0
    assert asked.question == {
        "success": True, "data": "", "status": "input_required", "message": "Which file?",
        "choices": ["a.txt", "b.txt"],
    }  # fmt: skip
    view = asking.get(f"/api/runs/{asked.run_id}").json()
    assert view["status"] == "input_required"
    assert (view["input"]["input_id"], view["input"]["message"]) == (input_id, "Which file?")
    asked.question["input_id"] = input_id
    response = asked.answer("b.txt")
    assert (response.status_code, response.json()["run_id"]) == (200, asked.run_id)
    assert "input" not in response.json()
    assert answer(asked.rest()) == "You chose b.txt."


def test_only_one_answer_of_the_owner_counts(asking: ServerProcess):
    """400 for what is no choice, 404 for others and for other questions, 409 for the second answer."""
    asked = Asked(asking, "which 15")
    refused = asked.answer("c.txt")
    assert (refused.status_code, refused.json()["error"]) == (400, "value: must be one of a.txt, b.txt")
    assert asked.answer("x" * 32_769).status_code == 400
    assert asked.answer("a.txt", user="bob").status_code == 404
    assert asked.answer("a.txt", input_id="other").status_code == 404
    assert asked.answer("a.txt").status_code == 200
    second = asked.answer("b.txt")
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert answer(asked.rest()) == "You chose a.txt."
    assert asked.answer("b.txt").status_code == 409


def test_an_answer_that_is_sent_again_with_its_key_succeeds(asking: ServerProcess):
    """A client that lost the response cannot know that the first one arrived."""
    asked = Asked(asking, "name 15")
    body = {"input_id": asked.question["input_id"], "value": "Ada"}
    statuses = [
        asking.post(f"/api/runs/{asked.run_id}/input", body, headers={"Idempotency-Key": key}).status_code
        for key in ("k1", "k1", "k2")
    ]
    assert statuses == [200, 200, 409]
    assert answer(asked.rest()) == "Hello, Ada!"


def test_the_backend_receives_a_timeout_as_a_value(asking: ServerProcess):
    """And later answers are refused."""
    asked = Asked(asking, "which 0.1")
    assert answer(asked.rest()) == "No file was chosen."
    assert asked.answer("a.txt").status_code == 409


def test_a_run_that_waits_for_an_answer_can_be_cancelled(asking: ServerProcess):
    """Its question is closed, for subscribers that come later as well."""
    asked = Asked(asking, "which")
    assert asking.post(f"/api/runs/{asked.run_id}/cancel").json()["status"] == "cancelled"
    assert asked.rest()[-1].data["status"] == "cancelled"
    assert asked.answer("a.txt").status_code == 409
    again = read(asking.get(f"/api/runs/{asked.run_id}/events", stream=True))
    assert "input_required" not in {event.data["status"] for event in again}


def test_the_deadline_of_the_run_counts_while_it_waits(asking: ServerProcess):
    """The question expires with the run, and its code stops."""
    stream = asking.post(STREAMS[2], {"message": "which", "timeout": 1, "locale": "en"}, stream=True)
    received = read(stream)
    [question] = [event.data for event in received if event.data["status"] == "input_required"]
    assert 0.0 < question["expires_in"] <= 1.0
    assert received[-1].data["status"] == "timeout"
    body = {"input_id": question["input_id"], "value": "a.txt"}
    assert asking.post(f"/api/runs/{received[0].data['run_id']}/input", body).status_code == 409


def test_a_subscriber_that_resumes_sees_an_open_question_only(asking: ServerProcess):
    """From the beginning or from its position, in any protocol; never one that was answered."""
    asked = Asked(asking, "which 15")
    resumed = events(
        asking.get(f"/api/runs/{asked.run_id}/events", headers={"Last-Event-ID": asked.received[-1].id}, stream=True)
    )
    assert next(resumed).data["input_id"] == asked.question["input_id"]
    openai = asking.get(f"/api/runs/{asked.run_id}/events?protocol=openai", stream=True).iter_lines()
    assert any(b"Which file?" in line for line in openai)  # as a comment
    assert asked.answer("a.txt").status_code == 200
    assert answer(list(resumed)) == "You chose a.txt."
    again = read(asking.get(f"/api/runs/{asked.run_id}/events", stream=True))
    assert (answer(again), again[-1].data["status"]) == ("Let me see. You chose a.txt.", "complete")
    assert "input_required" not in {event.data["status"] for event in again}


def test_other_protocols_answer_with_the_question(asking: ServerProcess):
    """Or with what the backend does instead. A stream of the same question asks again: nothing is cached."""
    native = asking.post("/api/chat", {"message": "which"}).json()
    assert native["data"] == "Let me see. Which file?"
    body = {"model": "x", "messages": [{"role": "user", "content": "name"}]}
    completion = asking.post("/v1/chat/completions", body).json()
    assert completion["choices"][0]["message"]["content"] == "What is your name?"
    careful = asking.post("/api/chat", {"message": "careful"}).json()
    assert careful["data"] == "Without an answer to: Which file?"
    for name in ("Ada", "Bob"):
        asked = Asked(asking, "name")
        asked.answer(name)
        rest = asked.rest()
        assert answer(rest) == f"Hello, {name}!"
        assert "cached" not in rest[-1].data


def test_the_same_question_of_another_run_is_asked_itself(asking: ServerProcess):
    """A run follows an identical one that is in progress, but not into its question."""
    first, second = Asked(asking, "name 15"), Asked(asking, "name 15")
    assert first.question["input_id"] != second.question["input_id"]
    second.answer("Bob")
    first.answer("Ada")
    assert (answer(first.rest()), answer(second.rest())) == ("Hello, Ada!", "Hello, Bob!")


def test_a_websocket_asks_and_answers(asking: ServerProcess):
    """With a message of its own; a refusal has the id of the client's message."""
    with WebSocketClient(asking.url) as client:
        client.send("start", id=1, request={"message": "which 15", "locale": "en"})
        run_id = client.receive()["run_id"]
        while (question := client.receive())["status"] != "input_required":
            pass
        client.send("input", id="no", run_id=run_id, input_id=question["input_id"], value="c.txt")
        while (refusal := client.receive()).get("id") != "no":
            pass
        assert refusal["code"] == "invalid_request"
        client.send("input", run_id=run_id, input_id=question["input_id"], value="a.txt")
        while client.receive().get("data") != "You chose a.txt.":
            pass


@pytest.mark.parametrize("document", [BACKENDS, BACKENDS_ZH], ids=repr)
def test_the_documented_function_asks(document: Document, tmp_path: Path):
    """As it stands in the document."""
    [code] = [block for block in document.blocks("python") if "query.ask(" in block]
    (tmp_path / "documented.py").write_text(code, "utf-8")
    server = serve("documented:read_file", {"PYTHONPATH": str(tmp_path)})
    asked = Asked(server, "Read it to me")
    assert asked.answer(asked.question["choices"][1]).status_code == 200
    assert asked.question["choices"][1] in answer(asked.rest())
    assert server.stop() == 0


def test_the_terminal_client_asks_the_user(asking: ServerProcess):
    """With numbers for the choices; the text before the question stays."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "persona_stream", "chat", "which 100", f"--url={asking.url}", "--locale=en"]
    environ = {**os.environ, "PERSONA_STREAM_TOKEN": token(), "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    shown = ""
    with suppress(OSError):  # the end of the last process on a terminal
        while part := os.read(ours, 65536).decode():
            shown += part
            if shown.endswith("> "):
                os.write(ours, b"2\n")
    os.close(ours)
    assert process.wait() == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown).splitlines()
    at = lines.index("? Which file?")
    assert lines[at - 1].endswith("Let me see.")
    assert lines[at + 1 : at + 4] == ["  1  a.txt", "  2  b.txt", "> 2"]
    assert "You chose b.txt." in shown


def test_the_terminal_client_in_a_pipe_goes_on_without_an_answer(asking: ServerProcess):
    """It names the reason, and the backend receives the timeout."""
    command = [sys.executable, "-m", "persona_stream", "chat", "which 0.5", f"--url={asking.url}", "--locale=en"]
    environ = {**os.environ, "PERSONA_STREAM_TOKEN": token()}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL, check=True)
    assert done.stdout == "Let me see. No file was chosen.\n"
    assert "The backend asks: Which file? There is no terminal to answer from" in done.stderr
