"""Access control: every endpoint with the id of a run or conversation, for every kind of caller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.routes import every_route
from tests.server_process import SECRET, ServerProcess, token
from tests.sse_client import read

SMART = "/api/stream_chat_smart"
RUN, CONVERSATION = "<run_id>", "<conversation_id>"

# The status for each caller, which is the same for a missing run, so that guessing a run id reveals nothing.
ADDRESSES = [
    ("GET", "/api/runs/<run_id>", "chat"),
    ("GET", "/api/runs/<run_id>/events", "chat"),
    ("POST", "/api/runs/<run_id>/cancel", "chat"),
    ("POST", "/api/runs/<run_id>/input", "chat"),
    ("GET", "/api/conversations/<conversation_id>", "chat"),
    ("GET", "/api/conversations/<conversation_id>/export", "chat"),
    ("DELETE", "/api/conversations/<conversation_id>", "chat"),
    ("GET", "/dashboard/api/runs/<run_id>", "admin"),
    ("POST", "/dashboard/api/runs/<run_id>/cancel", "admin"),
]
LISTS = ["/api/runs", "/api/conversations"]
SECRETS = ("a private question", "private-talk")


def bearer(user: str, **claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


WHO = {
    "no token": ({}, 401),
    "an empty token": ({"Authorization": "Bearer "}, 401),
    "the owner's name with another key": ({"Authorization": "Bearer " + token("owner")[:-4] + "AAAA"}, 401),
    "the owner, too late": (bearer("owner", expires=-1.0), 401),
    "the owner, too early": (bearer("owner", nbf=4_000_000_000), 401),
    "the owner, for another audience": (bearer("owner", aud="elsewhere"), 401),
    "the owner, without a scope": (bearer("owner", scope=""), 403),
    "another user": (bearer("mallory"), 404),
    "another user with the scope admin": (bearer("mallory", scope="chat admin"), 404),
    "the owner's name in capitals": (bearer("Owner"), 404),
    "the owner's name and a space": (bearer("owner "), 404),
    "the owner's name in other letters": (bearer("оwner"), 404),
    "another user in the other header": ({"x-api-key": token("mallory")}, 404),
    "a pattern of the database": (bearer("%"), 404),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Server that stores conversations and a request log."""
    state: Path = tmp_path_factory.mktemp("state")
    served = ServerProcess(
        [
            "--backend=tests.backends_for_tests:chosen",
            f"--jwt-secret={SECRET}",
            f"--state-dir={state}",
            f"--database-url=sqlite:///{state / 'kept.sqlite'}",
        ]
    )
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def names(server: ServerProcess) -> dict[str, str]:
    """Ids of a run of the owner, of its conversation, and the ticket of another run."""
    body = {"username": "echo", "message": SECRETS[0], "conversation_id": SECRETS[1]}
    got = read(server.post(SMART, body, user="owner"))
    other = read(server.post(SMART, {"username": "echo", "message": "Hi"}, user="owner"))
    return {RUN: got[0].data["run_id"], CONVERSATION: SECRETS[1], "other": other[0].data["events_url"]}


def ask(
    server: ServerProcess, method: str, address: str, names: dict[str, str], headers: dict[str, str], query: str = ""
):
    for placeholder, name in names.items():
        address = address.replace(placeholder, name)
    return requests.request(method, server.url + address + query, headers=headers, timeout=30)


def test_every_endpoint_with_an_id_is_in_the_table() -> None:
    """A new endpoint must be added to it."""
    named = {route for route in every_route() if re.search("<(run|conversation)_id>", route[1])}
    assert named == {(method, address) for method, address, _ in ADDRESSES}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "address", "scope"), ADDRESSES, ids=lambda value: value)
def test_other_callers_receive_nothing(
    server: ServerProcess, names: dict[str, str], method: str, address: str, scope: str, who: str
) -> None:
    """For them the resource does not exist, and the response reveals nothing of it."""
    headers, status = WHO[who]
    if scope == "admin":  # callers with the scope see all runs, the others none
        if who == "another user with the scope admin":
            return
        status = 403 if status == 404 else status
    response = ask(server, method, address, names, headers)
    assert response.status_code == status
    assert not [secret for secret in SECRETS if secret in response.text]
    absent = ask(server, method, address, {RUN: names[RUN][:-1] + "z", CONVERSATION: "nothing"}, headers)
    assert (absent.status_code, absent.text) == (response.status_code, response.text)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("address", LISTS)
def test_lists_contain_the_callers_own_entries_only(
    server: ServerProcess, names: dict[str, str], address: str, who: str
) -> None:
    """For other callers they are empty."""
    headers, status = WHO[who]
    response = ask(server, "GET", address, names, headers, f"?before={names[RUN]}" if address == "/api/runs" else "")
    assert response.status_code == (200 if status == 404 else status)
    assert not [secret for secret in (*SECRETS, names[RUN]) if secret in response.text]


def ticket(url: str) -> str:
    return url.partition("ticket=")[2]


@pytest.mark.parametrize("kind", ["another run's", "half", "empty", "not latin", "twice"])
@pytest.mark.parametrize("headers", [{}, bearer("mallory")], ids=["no token", "another user"])
def test_a_ticket_of_another_run_gives_no_access(
    server: ServerProcess, names: dict[str, str], kind: str, headers: dict[str, str]
) -> None:
    """With any caller's token beside it."""
    own = ticket(server.get(f"/api/runs/{names[RUN]}", user="owner").json()["events_url"])
    other = ticket(names["other"])
    wrong = {
        "another run's": other,
        "half": own[:21],
        "empty": "",
        "not latin": "%F0%9F%92%A9%ff",
        "twice": f"{other}&ticket={own}",
    }
    response = ask(server, "GET", "/api/runs/<run_id>/events", names, headers, f"?ticket={wrong[kind]}")
    assert response.status_code == 401
    assert SECRETS[0] not in response.text
    opened = ask(server, "GET", "/api/runs/<run_id>/events", names, headers, f"?ticket={own}")
    assert opened.status_code == 200


@pytest.mark.parametrize(("method", "address", "scope"), ADDRESSES, ids=lambda value: value)
def test_a_ticket_gives_access_to_the_stream_only(
    server: ServerProcess, names: dict[str, str], method: str, address: str, scope: str
) -> None:
    """On other endpoints it is ignored."""
    own = ticket(server.get(f"/api/runs/{names[RUN]}", user="owner").json()["events_url"])
    response = ask(server, method, address, names, {}, f"?ticket={own}")
    assert response.status_code == (200 if address.endswith("/events") else 401)


def test_an_idempotency_key_belongs_to_its_caller(server: ServerProcess) -> None:
    """The same key of two callers starts two runs."""
    headers = {"Idempotency-Key": "shared-key"}
    body = {"username": "echo", "message": "Hi"}
    runs = {
        server.post("/api/chat", body, user=user, headers=headers).json()["run_id"] for user in ("owner", "mallory")
    }
    assert len(runs) == 2


def test_a_conversation_id_belongs_to_its_caller(server: ServerProcess, names: dict[str, str]) -> None:
    """Another caller's conversation of the same id starts empty and changes nothing."""
    body = {"username": "showing", "message": "What was said?", "conversation_id": SECRETS[1]}
    assert '"history": []' in server.post("/api/chat", body, user="mallory").json()["data"]
    kept = server.get(f"/api/conversations/{SECRETS[1]}", user="owner").json()
    assert [each["question"] for each in kept["exchanges"]] == [SECRETS[0]]


def test_the_owner_still_has_access(server: ServerProcess, names: dict[str, str]) -> None:
    """Which shows that the rejections above depend on the caller; it must be the last test of this file."""
    for method, address, scope in ADDRESSES:
        if method == "GET":
            headers = bearer("owner", scope=f"chat {scope}")
            assert ask(server, method, address, names, headers).status_code == 200, address
