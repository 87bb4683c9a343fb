"""Conversations over HTTP: history for the backend, ordering, isolation between callers, export and deletion."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import SECRET, ServerProcess
from tests.sse_client import read

SMART = "/api/stream_chat_smart"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server with a database, which stores conversations."""
    folder = tmp_path_factory.mktemp("state")
    process = ServerProcess(
        [
            f"--jwt-secret={SECRET}",
            f"--state-dir={folder}",
            "--backend=tests.backends_for_tests:chosen",
            "--timeout=20",
        ],
        {"PERSONA_STREAM_DATABASE_URL": "sqlite:///"},
    )
    yield process
    assert process.stop() == 0


def chat(server: ServerProcess, message: str, conversation: str, username: str = "showing", user: str = "alice"):
    body = {"username": username, "message": message, "conversation_id": conversation}
    return server.post("/api/chat", body, user=user)


def history(response) -> list[list[str]]:
    """Return the earlier turns that the backend received."""
    found: list[list[str]] = json.loads(response.json()["data"])["history"]
    return found


def test_a_question_carries_the_history_of_its_conversation(server: ServerProcess):
    """The history is complete as soon as the answer has ended, and limited to the conversation and its caller."""
    first = chat(server, "My name is Ada", "talk-1", "echo")
    assert history(chat(server, "Who am I?", "talk-1")) == [["user", "My name is Ada"], ["assistant", "My name is Ada"]]
    assert history(chat(server, "Who am I?", "talk-2")) == []
    assert history(chat(server, "Who am I?", "talk-1", user="bob")) == []
    assert first.json()["conversation_id"] == "talk-1"


def test_a_generated_conversation_id_can_be_used_to_continue(server: ServerProcess):
    """The response to the first question contains the id."""
    body = {"username": "echo", "message": "One"}
    made = server.post("/api/chat", body).json()["conversation_id"]
    assert history(chat(server, "Two", made)) == [["user", "One"], ["assistant", "One"]]


def test_an_interrupted_answer_is_marked_as_incomplete(server: ServerProcess):
    """A question without any answer is listed, but is not part of the history for the backend."""
    chat(server, "exception", "talk-3", "failing")
    with server.post(
        SMART, {"username": "slow", "message": "20", "conversation_id": "talk-3"}, stream=True
    ) as response:
        server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel")
    shown = server.get("/api/conversations/talk-3").json()
    assert [(each["status"], each["is_complete"], each["answer"]) for each in shown["exchanges"]] == [
        ("error", False, ""), ("cancelled", False, ""),
    ]  # fmt: skip
    assert history(chat(server, "And now?", "talk-3")) == []


def test_concurrent_questions_of_a_conversation_run_in_order(server: ServerProcess):
    """The second starts after the first has its answer, which is in its history; other conversations do not wait."""
    answers: dict[str, object] = {}

    def ask_second() -> None:
        time.sleep(0.3)  # the first question, which takes 4 s, must arrive first
        answers["second"] = history(chat(server, "Second", "talk-4"))

    thread = threading.Thread(target=ask_second)
    thread.start()
    started = time.monotonic()
    with server.post(SMART, {"username": "slow", "message": "4", "conversation_id": "talk-4"}, stream=True) as first:
        time.sleep(0.4)  # until the second question waits in the queue
        assert chat(server, "Elsewhere", "talk-5").status_code == 200
        assert time.monotonic() - started < 3.5
        assert read(first)[-1].data["status"] == "complete"
    thread.join()
    assert [turn[0] for turn in answers["second"]] == ["user", "assistant"]
    assert answers["second"][0][1] == "4"


def test_the_list_is_paginated(server: ServerProcess):
    """Most recently updated first; the pages contain each conversation of the caller once."""
    for number in range(5):
        chat(server, f"Hello {number}", f"page-{number}", "echo", user="carol")
    chat(server, "Again", "page-1", "echo", user="carol")
    seen, before = [], None
    while True:
        page = server.get("/api/conversations", user="carol", params={"limit": 2, "before": before}).json()
        seen += [each["conversation_id"] for each in page["conversations"]]
        before = page["next"]
        if before is None:
            break
    assert seen == ["page-1", "page-4", "page-3", "page-2", "page-0"]
    first = server.get("/api/conversations", user="carol").json()["conversations"][0]
    assert (first["title"], first["username"]) == ("Hello 1", "echo")


def test_a_long_conversation_is_paginated(server: ServerProcess):
    """Exchanges are listed oldest first."""
    for number in range(5):
        chat(server, f"Step {number}", "long", "echo", user="dora")
    seen, after = [], None
    while True:
        page = server.get("/api/conversations/long", user="dora", params={"limit": 2, "after": after}).json()
        seen += [each["question"] for each in page["exchanges"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"Step {number}" for number in range(5)]


def test_an_export_contains_the_whole_conversation(server: ServerProcess):
    """It is available as JSON and as Markdown, with a file name for browsers."""
    chat(server, "# Not a heading of mine", "export-1", "echo", user="erin")
    chat(server, "deliberate", "export-1", "failing", user="erin")
    whole = server.get("/api/conversations/export-1/export", user="erin")
    assert [each["question"] for each in whole.json()["exchanges"]] == ["# Not a heading of mine", "deliberate"]
    assert whole.headers["Content-Disposition"] == 'attachment; filename="export-1.json"'
    text = server.get("/api/conversations/export-1/export", user="erin", params={"format": "markdown"})
    assert text.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert "# Not a heading of mine" in text.text
    assert "failing (error)" in text.text
    assert server.get("/api/conversations/export-1/export", user="erin", params={"format": "pdf"}).status_code == 400


def test_a_deleted_conversation_is_gone(server: ServerProcess):
    """It disappears from the API and from the history of later questions; only its owner can delete it."""
    chat(server, "Forget me", "gone-1", "echo", user="frank")
    address = "/api/conversations/gone-1"
    assert server.delete(address, user="mallory").status_code == 404
    deleted = server.delete(address, user="frank")
    assert deleted.json() == {"success": True, "conversation_id": "gone-1"}
    assert server.get(address, user="frank").status_code == 404
    assert server.delete(address, user="frank").status_code == 404
    assert history(chat(server, "Who am I?", "gone-1", user="frank")) == []


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/api/conversations", {"limit": "0"}, 400),
        ("/api/conversations", {"limit": "101"}, 400),
        ("/api/conversations", {"limit": "x"}, 400),
        ("/api/conversations", {"before": "x"}, 400),
        ("/api/conversations", {"before": "1_'; DROP TABLE runs"}, 400),
        ("/api/conversations", {"before": f"{'9' * 400}_x"}, 400),
        ("/api/conversations/nobody's", {}, 404),
        ("/api/conversations/%00", {}, 404),
        ("/api/conversations/%F0%9F%92%A9", {}, 404),
        ("/api/conversations/" + "x" * 5000, {}, 404),
        ("/api/conversations/talk-1/export", {"format": "x"}, 400),
    ],
)
def test_invalid_requests_get_the_right_status(
    server: ServerProcess, path: str, parameters: dict[str, str], status: int
):
    """Malformed parameters and ids never cause an internal error."""
    assert server.get(path, params=parameters).status_code == status


def test_a_token_is_required(server: ServerProcess):
    """Requests without a token get 401."""
    assert server.get("/api/conversations", user=None).status_code == 401
    assert server.get("/api/conversations/talk-1", user=None).status_code == 401


def test_without_a_database_conversations_are_unavailable():
    """The error names the setting; questions are answered without a history."""
    process = ServerProcess([f"--jwt-secret={SECRET}", "--backend=tests.backends_for_tests:chosen"])
    try:
        response = process.get("/api/conversations")
        assert response.status_code == 503
        assert "database_url" in response.json()["error"]
        assert history(chat(process, "Hi", "talk-1")) == []
    finally:
        assert process.stop() == 0


def test_conversations_survive_the_process(tmp_path: Path):
    """A new server continues a conversation after the old one was killed."""
    flags = [f"--jwt-secret={SECRET}", f"--state-dir={tmp_path}", "--backend=tests.backends_for_tests:chosen"]
    environ = {"PERSONA_STREAM_DATABASE_URL": "sqlite:///"}
    process = ServerProcess(flags, environ)
    chat(process, "Remember 42", "talk-9", "echo")
    process.get("/api/conversations")  # returns once the write queue is flushed
    process.process.kill()
    process.stop()
    process = ServerProcess(flags, environ)
    try:
        assert history(chat(process, "What?", "talk-9")) == [["user", "Remember 42"], ["assistant", "Remember 42"]]
    finally:
        assert process.stop() == 0


QUESTION = [{"role": "user", "content": "Who am I?"}]
SYSTEM = {"role": "system", "content": "Be brief."}


def ask_openai(server: ServerProcess, fields: dict, headers: dict[str, str] | None = None, path="chat/completions"):
    return server.post(f"/v1/{path}", {"model": "showing", "messages": QUESTION, **fields}, headers=headers or {})


def shown(response) -> dict:
    body = response.json()
    return json.loads(body["choices"][0]["message"]["content"] if "choices" in body else body["content"][0]["text"])


@pytest.mark.parametrize("named", ["header", "metadata", "both"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_clients_of_other_protocols_can_continue_a_conversation(server: ServerProcess, named: str, wire: str):
    """By a header or by the metadata; the backend receives the stored history, and no metadata for a provider."""
    conversation = f"talk-{wire}-{named}"
    chat(server, "My name is Ada", conversation, "echo")
    fields = {} if named == "header" else {"metadata": {"conversation_id": conversation}}
    headers = {} if named == "metadata" else {"X-Conversation-Id": conversation}
    path = "chat/completions" if wire == "openai" else "messages"
    if wire == "anthropic":
        fields["max_tokens"] = 9
    seen = shown(ask_openai(server, fields, headers, path))
    assert seen["history"] == [["user", "My name is Ada"], ["assistant", "My name is Ada"]]
    assert "metadata" not in seen["parameters"]
    again = history(chat(server, "And now?", conversation))
    assert [content for role, content in again if role == "user"] == ["My name is Ada", "Who am I?"]


def test_text_completions_can_continue_a_conversation(server: ServerProcess):
    """In the same way."""
    chat(server, "My name is Ada", "talk-text", "echo")
    body = {"model": "showing", "prompt": "Who am I?", "metadata": {"conversation_id": "talk-text"}}
    text = server.post("/v1/completions", body).json()["choices"][0]["text"]
    assert json.loads(text)["history"] == [["user", "My name is Ada"], ["assistant", "My name is Ada"]]


def test_instructions_of_a_request_join_the_stored_history(server: ServerProcess):
    """As the prompt, and other labels of the request still reach the backend."""
    chat(server, "My name is Ada", "talk-system", "echo")
    labels = {"conversation_id": "talk-system", "label": "x"}
    seen = shown(ask_openai(server, {"messages": [SYSTEM, *QUESTION], "metadata": labels}))
    assert seen["history"] == [["user", "My name is Ada"], ["assistant", "My name is Ada"]]
    assert seen["parameters"] == {"metadata": {"label": "x"}}


def test_a_history_of_the_request_is_not_merged_with_the_stored_one(server: ServerProcess):
    """Nor is the exchange stored: the client keeps this conversation itself."""
    chat(server, "My name is Ada", "talk-own", "echo")
    own = [{"role": "user", "content": "I am Bob"}, {"role": "assistant", "content": "Hello"}]
    response = ask_openai(server, {"messages": [*own, *QUESTION]}, {"X-Conversation-Id": "talk-own"})
    assert server.get(f"/api/runs/{response.headers['X-Run-Id']}").json()["conversation_id"] == "talk-own"
    seen = shown(response)
    assert seen["history"] == [["user", "I am Bob"], ["assistant", "Hello"]]
    questions = [each["question"] for each in server.get("/api/conversations/talk-own").json()["exchanges"]]
    assert questions == ["My name is Ada"]


def test_without_a_conversation_nothing_is_added(server: ServerProcess):
    """Each request is a conversation of its own."""
    assert shown(ask_openai(server, {"metadata": {"label": "x"}}))["history"] == []


@pytest.mark.parametrize(
    ("metadata", "header", "param"),
    [
        ({"conversation_id": "no spaces"}, None, "metadata"),
        ({"conversation_id": 5}, None, "metadata"),
        ({"conversation_id": "x" * 129}, None, "metadata"),
        ({"conversation_id": "one"}, "two", "metadata"),
        (None, "no spaces", "X-Conversation-Id"),
        (None, "", "X-Conversation-Id"),
    ],
)
def test_a_malformed_conversation_id_is_rejected(server: ServerProcess, metadata, header: str | None, param: str):
    """With the name of the field, as in native requests."""
    headers = {} if header is None else {"X-Conversation-Id": header}
    refused = ask_openai(server, {"metadata": metadata}, headers)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_retry_joins_only_the_run_of_its_conversation(server: ServerProcess):
    """SDKs repeat a request without a key, but with the number of the attempt."""
    for conversation in ("talk-retry-1", "talk-retry-2"):
        first = ask_openai(server, {}, {"X-Conversation-Id": conversation})
        again = {"X-Conversation-Id": conversation, "X-Stainless-Retry-Count": "1"}
        assert ask_openai(server, {}, again).headers["X-Run-Id"] == first.headers["X-Run-Id"]
    other = {"X-Conversation-Id": "talk-retry-1", "X-Stainless-Retry-Count": "1"}
    assert ask_openai(server, {}, other).headers["X-Run-Id"] != first.headers["X-Run-Id"]
