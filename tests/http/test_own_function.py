"""Requests to a server without personas, which name none."""

from __future__ import annotations

import pytest

from tests.server_process import ServerProcess
from tests.sse_client import bodies, read


@pytest.mark.parametrize("path", ["/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart"])
def test_a_stream_needs_no_username(server: ServerProcess, path: str) -> None:
    """The run has the backend's own name."""
    with server.post(path, {"message": "Hi"}, stream=True) as response:
        run_id = response.headers["X-Run-Id"]
        assert list(bodies(read(response)))[-1]["status"] == "complete"
    assert server.get(f"/api/runs/{run_id}").json()["username"] == "tests.backends_for_tests:chosen"


def test_the_persona_is_the_username(server: ServerProcess) -> None:
    """A repeated request may use either name of the field."""
    key = {"Idempotency-Key": "one"}
    first = server.post("/api/chat", {"persona": "quick", "message": "Hi"}, headers=key).json()
    same = server.post("/api/chat", {"username": "quick", "persona": "quick", "message": "Hi"}, headers=key).json()
    assert first["success"]
    assert first["run_id"] == same["run_id"]


def test_a_server_with_personas_requires_one(demo: ServerProcess) -> None:
    """The refusal lists some of them."""
    response = demo.post("/api/chat", {"message": "Hi"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert "username: is required" in response.json()["error"]
    assert "AdaLovelace" in response.json()["error"]


def test_the_backend_is_listed_with_the_personas(server: ServerProcess, demo: ServerProcess) -> None:
    """Without a title of its own it has its name."""
    name = "tests.backends_for_tests:chosen"
    listed = server.get("/api/profiles").json()
    backend = {"name": name, "title": name, "ideas": [], "attachments": [], "max_body_bytes": 500_000}
    assert (listed["profiles"], listed["backend"]) == ([], backend)
    assert demo.get("/api/profiles").json()["backend"]["name"] == "demo"


@pytest.mark.parametrize(("language", "names"), [("en", ["Ada Lovelace", "Lu Xun"]), ("zh", ["埃达·洛芙莱斯", "鲁迅"])])
def test_names_of_personas_are_in_the_language_of_the_caller(
    demo: ServerProcess, language: str, names: list[str]
) -> None:
    """A name in two scripts would be cut on a phone."""
    profiles = demo.get("/api/profiles", headers={"Accept-Language": language}).json()["profiles"]
    assert [profile["name"] for profile in profiles][:2] == names
