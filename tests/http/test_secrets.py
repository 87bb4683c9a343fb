"""Secrets are not written anywhere: a whole session, whose outputs are searched for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.backends.fake_provider import completion, provider
from tests.backends.fake_provider import http as reply
from tests.http.test_tracing import collector
from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import SECRET, ServerProcess, token
from tests.sse_client import read

SMART = "/api/stream_chat_smart"
PROVIDER_KEY = "sk-provider-key-that-must-stay-secret"
REDIS_PASSWORD = "redis-password-that-must-stay-secret"
TOKEN, ADMIN = token("alice", jti="of alice"), token("boss", scope="admin chat", jti="of the boss")
FORGED = token("alice", jti="forged")[:-10] + "AAAAAAAAAA"
LATE = token("alice", expires=-60.0, jti="too late")


class Written(NamedTuple):
    """Outputs of a server, by place."""

    places: Mapping[str, str]
    ticket: str
    run_id: str


class Recorder:
    """Client that records every response with its headers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answers: list[str] = []

    def ask(self, method: str, path: str, headers: Mapping[str, str], **more: object) -> requests.Response:
        response = requests.request(method, self._url + path, headers=dict(headers), timeout=60, **more)
        self.answers.append(f"{response.headers}\n{response.text}")
        return response


def session(server: ServerProcess, redis: RedisServer) -> tuple[Recorder, str, str]:
    """Send valid, invalid and failing requests."""
    recorder = Recorder(server.url)
    ask, bearer = recorder.ask, {"Authorization": f"Bearer {TOKEN}"}
    body = {"username": "x", "message": "Hi", "conversation_id": "talk"}
    response = requests.post(server.url + SMART, json=body, headers=bearer, timeout=60)
    events = read(response)
    events_url, run_id = events[0].data["events_url"], events[0].data["run_id"]
    assert events[-1].data["status"] == "complete"
    assert requests.get(server.url + events_url, timeout=60).status_code == 200  # its first event has the ticket
    assert ask("POST", "/api/chat", bearer, json=body).status_code == 502  # the provider quotes the key
    assert ask("POST", "/v1/messages", {"x-api-key": TOKEN}, json={
        "model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
    }).status_code == 200  # fmt: skip
    for wrong in (FORGED, LATE, TOKEN + "x", f"{TOKEN} {TOKEN}"):
        assert ask("POST", "/api/chat", {"Authorization": f"Bearer {wrong}"}, json=body).status_code == 401
    assert ask("GET", f"/api/runs?token={TOKEN}", {}).status_code == 401
    assert ask("GET", events_url + "x", {}).status_code == 401
    assert ask("GET", f"/nowhere/{TOKEN}", bearer).status_code == 404
    assert ask("POST", "/api/chat", bearer, data=f'{{"{TOKEN}": ').status_code == 400
    headers = {"X-Persona-Dashboard": "1"}
    login = requests.post(f"{server.url}/dashboard/login", json={"token": ADMIN}, headers=headers, timeout=60)
    assert ADMIN in login.headers["Set-Cookie"]
    assert ADMIN not in login.text
    cookie = {"Cookie": f"persona_stream_admin={ADMIN}"}
    wait_for(lambda: ask("GET", f"/dashboard/api/runs/{run_id}", cookie).status_code == 200)
    for path in ("/dashboard/api/runs", "/dashboard/api/session", "/dashboard/api/choices", "/dashboard/api/stats"):
        assert ask("GET", path, cookie).status_code == 200
    for path in ("/metrics", "/readyz", "/healthz", "/openapi.json", "/docs", "/"):
        assert ask("GET", path, {}).status_code == 200
    assert ask("GET", "/api/conversations/talk/export", bearer).status_code == 200
    redis.kill()
    assert ask("POST", "/api/chat", bearer, json=body).status_code == 503
    assert ask("GET", "/readyz", {}).status_code == 503
    redis.start()
    return recorder, events_url.partition("ticket=")[2], run_id


@pytest.fixture(scope="module", params=["greenlet", "process"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """Run the session with debug logs, and collect all outputs."""
    folder: Path = tmp_path_factory.mktemp("state")
    database = folder / "kept.sqlite"
    redis = RedisServer("--requirepass", REDIS_PASSWORD, credentials=f":{REDIS_PASSWORD}@")
    good = reply(200, completion("Forty-two."))
    quoting = reply(401, {"error": {"message": f"Incorrect key: Bearer {PROVIDER_KEY}"}}, f"X-Key: {PROVIDER_KEY}")
    try:
        with collector() as taken, provider(good, quoting, good) as behind:
            server = ServerProcess(
                [
                    "--backend=openai",
                    "--openai-model=m1",
                    f"--openai-base-url={behind.base_url}",
                    f"--state-dir={folder}",
                    "--log-level=debug",
                    f"--executor={request.param}",
                ],
                {
                    "PERSONA_STREAM_JWT_SECRET": SECRET,
                    "PERSONA_STREAM_OPENAI_API_KEY": PROVIDER_KEY,
                    "PERSONA_STREAM_REDIS_URL": redis.url,
                    "PERSONA_STREAM_DATABASE_URL": f"sqlite:///{database}",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": taken.endpoint,
                    "OTEL_BSP_SCHEDULE_DELAY": "60000",
                },
            )
            try:
                recorder, ticket, run_id = session(server, redis)
            finally:
                server.stop()  # its exit code without Redis is not tested here
            assert behind.requests[0].headers["authorization"] == f"Bearer {PROVIDER_KEY}"
        with sqlite3.connect(database) as kept:
            kept.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept.close()
        files = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
        yield Written(
            {
                "stdout": server.greeting,
                "stderr": server.log,
                "the database": files.decode("latin-1"),
                "the answers": "\n".join(recorder.answers),
                "the traces": str(taken.requests),
            },
            ticket,
            run_id,
        )
    finally:
        redis.close()


pytestmark = needs_redis
PLACES = ["stdout", "stderr", "the database", "the answers", "the traces"]


def parts(secret: str) -> list[str]:
    """Return a secret, and the signature of a token, from which it could be restored."""
    return [secret, *([secret.rpartition(".")[2]] if secret.count(".") == 2 else [])]


SECRETS = {
    "the secret of tokens": SECRET,
    "the provider's key": PROVIDER_KEY,
    "the password of Redis": REDIS_PASSWORD,
    "a token": TOKEN,
    "an administrator's token and cookie": ADMIN,
    "a forged token": FORGED,
    "an expired token": LATE,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_written(written: Written, kind: str, place: str) -> None:
    """Its critical part is not written either."""
    found = [part for part in parts(SECRETS[kind]) if part in written.places[place]]
    assert not found


@pytest.mark.parametrize("place", ["stdout", "stderr", "the database", "the traces"])
def test_no_ticket_is_written(written: Written, place: str) -> None:
    """It is only in responses to the owner of the run."""
    assert written.ticket not in written.places[place]


def test_the_searched_outputs_are_complete(written: Written) -> None:
    """Otherwise the tests above would prove nothing."""
    assert "persona_stream" in written.places["stdout"]
    for place in ("stderr", "the database", "the answers", "the traces"):
        assert written.run_id in written.places[place], place
    for text in ("Redis is unavailable", "credentials", "started"):
        assert text in written.places["stderr"]
    assert "persona_stream_runs" in written.places["the answers"]
    assert written.ticket in written.places["the answers"]
    assert "***" in written.places["the database"]


def test_a_wrong_redis_password_is_not_written_at_the_start(tmp_path: Path) -> None:
    """The error does not contain the URL."""
    redis = RedisServer("--requirepass", "another", credentials=":another@")
    try:
        server = ServerProcess(
            ["--backend=tests.backends_for_tests:quick", f"--state-dir={tmp_path}"],
            {
                "PERSONA_STREAM_JWT_SECRET": SECRET,
                "PERSONA_STREAM_REDIS_URL": redis.url.replace("another", REDIS_PASSWORD),
            },
        )
        try:
            assert server.post("/api/chat", {"username": "x", "message": "Hi"}).status_code == 503
            server.wait_for_log("Redis")
        finally:
            server.stop()
        assert REDIS_PASSWORD not in server.log + server.greeting
    finally:
        redis.close()
