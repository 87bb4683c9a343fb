"""Attachments on a real server: to the backend, into the log and the history, refused, repeated and cached."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.documents import API, Document
from tests.polling import wait_for
from tests.server_process import ROOT, SECRET, ServerProcess, serve, token
from tests.sse_client import answer, read
from tests.websocket_client import WebSocketClient

PIXEL = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=")
IMAGE = {"type": "image", "url": f"data:image/gif;base64,{base64.b64encode(PIXEL).decode()}", "name": "cat.gif"}
ADDRESS = {"type": "file", "url": "https://example.invalid/report.pdf"}
SEEN = [["image", "cat.gif", "image/gif", len(PIXEL), "data:ima"], ["file", None, "", None, "https://"]]
STREAMS = ["/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a cache and a request log, whose backend reads images and files."""
    state = tmp_path_factory.mktemp("state")
    server = serve(
        "tests.http.attachment_backend:look", cache="10m", state_dir=state, database_url="sqlite:///",
        max_body_bytes="64KiB",
    )  # fmt: skip
    server.state = state
    yield server
    assert server.stop() == 0


def question(message: str, *attachments: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"username": "x", "message": message, "attachments": list(attachments), "locale": "en", **more}


@pytest.mark.parametrize("path", STREAMS)
def test_a_backend_receives_the_attachments(server: ServerProcess, path: str):
    """On each of the streams, in order; an address is not fetched."""
    events = read(server.post(path, question(f"What is it? {path}", IMAGE, ADDRESS)))
    assert json.loads(answer(events))["attachments"] == SEEN


def test_a_websocket_carries_them_too(server: ServerProcess):
    """The request is the same object."""
    with WebSocketClient(server.url) as client:
        client.send("start", id=1, request=question("What is it, here?", IMAGE, ADDRESS))
        text = "".join(message["data"] for message in client.receive_run() if message["status"] == "streaming")
        assert json.loads(text)["attachments"] == SEEN
        client.send("start", id=2, request=question("Hear.", {"type": "audio", "url": "data:audio/wav;base64,AAAA"}))
        assert client.receive()["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("attachments", "words"),
    [
        ([{"type": "audio", "url": "data:audio/wav;base64,AAAA"}], "attachments: this backend does not support record"),
        ([{"type": "video", "url": "https://example.org/a"}], "attachments[0].type: Invalid enum value"),
        ([{"type": "image", "url": "http://example.org/a.png"}], "attachments[0].url: must begin with https: or data:"),
        ([{"type": "image", "url": "data:image/png;base64,A"}], "attachments[0].url: its base64 is invalid"),
        ([{"type": "image"}], "attachments[0].url: is required"),
        ([IMAGE] * 9, "attachments: "),
        (IMAGE, "attachments: "),
    ],
)
def test_an_invalid_attachment_is_rejected_before_the_run(server: ServerProcess, attachments: object, words: str):
    """With 400; the text names the field."""
    response = server.post("/api/chat", {**question("What is it?"), "attachments": attachments})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert response.json()["error"].startswith(words)


def test_the_body_limit_holds(server: ServerProcess):
    """Attachments are part of the body."""
    large = {"type": "file", "url": f"data:application/pdf;base64,{'A' * 65_536}"}
    assert server.post("/api/chat", question("What is it?", large)).status_code == 413


def test_a_backend_without_the_capability_gets_none(server: ServerProcess, tmp_path: Path):
    """The error names the field; an empty list is no attachment."""
    plain = serve("tests.http.counting_backend:answer", state_dir=tmp_path)
    response = plain.post("/api/chat", question("What is it?", IMAGE))
    assert response.json()["error"] == "attachments: this backend does not support images; send text only"
    assert plain.post("/api/chat", question("What is it?")).status_code == 200
    assert plain.get("/api/profiles").json()["backend"]["attachments"] == []
    assert plain.stop() == 0
    assert server.get("/api/profiles").json()["backend"]["attachments"] == ["image", "file"]


def test_they_are_part_of_the_question(server: ServerProcess):
    """For an idempotency key, and for the cache."""
    key = {"headers": {"Idempotency-Key": "with-attachments"}}
    first = server.post("/api/chat", question("Which?", IMAGE), **key).json()
    assert server.post("/api/chat", question("Which?", IMAGE), **key).json() == first
    assert server.post("/api/chat", question("Which?", ADDRESS), **key).status_code == 409
    cached = server.post("/api/chat", question("Which?", IMAGE)).json()
    assert (cached["data"], cached["cached"]) == (first["data"], True)
    for other in ([ADDRESS], [IMAGE, ADDRESS], [{**IMAGE, "name": "dog.gif"}], []):
        assert "cached" not in server.post("/api/chat", question("Which?", *other)).json()


def test_later_turns_see_a_note(server: ServerProcess):
    """The conversation keeps type and name, and no content."""
    server.post("/api/chat", question("Look!", IMAGE, ADDRESS, conversation_id="talk"))
    later = server.post("/api/chat", question("And?", conversation_id="talk")).json()["data"]
    assert json.loads(later)["attachments"] == []
    assert json.loads(later)["history"][0] == "Look!\n[image: cat.gif]\n[file]"
    [exchange, _] = server.get("/api/conversations/talk").json()["exchanges"]
    assert exchange["question"] == "Look!\n[image: cat.gif]\n[file]"


def test_the_log_has_type_name_and_size(server: ServerProcess):
    """The content is neither in the column of the attachments nor in the body of the request."""
    run_id = server.post("/api/chat", question("Log this.", IMAGE, ADDRESS)).json()["run_id"]
    file = sqlite3.connect(server.state / "persona_stream.sqlite")
    query = "SELECT attachments, request_body FROM run_texts WHERE run_id = ?"
    wait_for(lambda: file.execute(query, (run_id,)).fetchone())
    attachments, body = file.execute(query, (run_id,)).fetchone()
    file.close()
    logged = [["image", "cat.gif", len(PIXEL)], ["file", None, None]]
    assert [list(each.values()) for each in json.loads(attachments)] == logged
    assert json.loads(body)["attachments"][0] == {**IMAGE, "url": f"data:image/gif;base64,({len(PIXEL)} B)"}


def test_other_protocols_reach_the_same_place(server: ServerProcess):
    """A part, a block or an item is an attachment of the same query."""
    url = IMAGE["url"]
    source = {"type": "base64", "media_type": "image/gif", "data": url.partition(",")[2]}
    pdf = "data:application/pdf;base64,AAAA"
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
        ]}]},
        "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "What?"}, {"type": "image", "source": source},
            {"type": "document", "title": "a.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
        ]}]},
        "/v1/responses": {"input": [{"role": "user", "content": [
            {"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": url},
            {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
        ]}]},
    }  # fmt: skip
    for path, body in bodies.items():
        found = server.post(path, {"model": "x", **body}).json()
        match found:
            case {"choices": [{"message": {"content": text}}]} | {"content": [{"text": text}]}:
                pass
            case {"output": [{"content": [{"text": text}]}]}:
                pass
        assert json.loads(text)["attachments"] == [
            ["image", None, "image/gif", len(PIXEL), "data:ima"],
            ["file", "a.pdf", "application/pdf", 3, "data:app"],
        ], path


def test_the_documented_function_and_request(tmp_path: Path):
    """As docs/BACKENDS.md and docs/API.md show them."""
    [function] = [
        each.body
        for each in Document("docs/BACKENDS.md").snippets()
        if (each.heading, each.language) == ("Attachments", "python")
    ]
    (tmp_path / "my_bot.py").write_text(function, "utf-8")
    (tmp_path / "cat.png").write_bytes(PIXEL)
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    flags = ["--backend=my_bot:ask", f"--jwt-secret={SECRET}", f"--state-dir={tmp_path}"]
    server = ServerProcess(flags, environ, cwd=tmp_path)
    [request] = [each.body for each in API.snippets() if (each.heading, each.language) == ("Attachments", "python")]
    scope: dict[str, Any] = {
        "URL": server.url,
        "TOKEN": token("doc"),
        "requests": requests,
        "PATH": tmp_path / "cat.png",
    }
    exec(request, scope)
    assert server.stop() == 0
    assert scope["answer"]["data"] == f"I received image cat.png ({len(PIXEL)} bytes)"
