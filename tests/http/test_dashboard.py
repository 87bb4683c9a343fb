"""Dashboard over HTTP: authentication, the request log, statistics, and protection against CSRF."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import jwt
import pytest
import requests

from tests.server_process import SECRET, ServerProcess, token
from tests.sse_client import read

ADMIN = token("boss", scope="chat admin")
OWN_PAGE = {"X-Persona-Dashboard": "1"}
HOSTILE = "<img src=x onerror=alert(1)></script>\x1b[31m\u2028 \U0001f469\u200d\U0001f467 %_!"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server with a request log."""
    state = tmp_path_factory.mktemp("state")
    process = ServerProcess(
        [
            "--backend=tests.backends_for_tests:chosen",
            f"--jwt-secret={SECRET}",
            f"--state-dir={state}",
            f"--database-url=sqlite:///{state / 'log.sqlite'}",
        ]
    )
    yield process
    assert process.stop() == 0


@pytest.fixture
def admin(server: ServerProcess) -> Iterator[requests.Session]:
    """Return a session that is logged in as a browser is."""
    with requests.Session() as session:
        response = session.post(f"{server.url}/dashboard/login", json={"token": ADMIN}, headers=OWN_PAGE, timeout=20)
        assert (response.status_code, response.json()) == (200, {"success": True})
        yield session


def get(server: ServerProcess, path: str, **more: Any) -> requests.Response:
    """Send a GET request to the dashboard API with the admin's token."""
    return requests.get(
        f"{server.url}/dashboard/api/{path}", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20, **more
    )


def run(server: ServerProcess, message: str = "hello", user: str = "alice", username: str = "echo") -> str:
    """Complete a run and return its id."""
    response = server.post("/api/chat", {"username": username, "message": message}, user=user)
    return str(response.headers["X-Run-Id"])


def wait_for_log(server: ServerProcess, run_id: str) -> dict[str, Any]:
    """Return the log of a run as soon as it is completely written."""
    until = time.monotonic() + 20
    while True:
        response = get(server, f"runs/{run_id}")
        body: dict[str, Any] = response.json()
        if response.ok and body["run"]["status"] != "processing" and body["run"]["readers"]:
            return body
        assert time.monotonic() < until, body
        time.sleep(0.1)  # polling interval


def test_the_cookie_is_protected(server: ServerProcess) -> None:
    """It is HttpOnly, SameSite=Strict, limited to the path of the dashboard, and expires with the token."""
    response = requests.post(
        f"{server.url}/dashboard/login", json={"token": f" {ADMIN}\n"}, headers=OWN_PAGE, timeout=20
    )
    cookie = SimpleCookie(response.headers["Set-Cookie"])["persona_stream_admin"]
    assert cookie.value == ADMIN
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/dashboard")
    assert not cookie["secure"]
    ends = time.mktime(time.strptime(cookie["expires"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert ends == jwt.decode(ADMIN, SECRET, algorithms=["HS256"])["exp"]


def test_over_https_the_cookie_is_secure(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Behind a trusted proxy with HTTPS the cookie is marked Secure; without a database the log is unavailable."""
    folder = tmp_path_factory.mktemp("state")
    process = ServerProcess([f"--jwt-secret={SECRET}", f"--state-dir={folder}", "--trusted-proxies=127.0.0.1"])
    try:
        headers = {**OWN_PAGE, "X-Forwarded-Proto": "https"}
        response = requests.post(f"{process.url}/dashboard/login", json={"token": ADMIN}, headers=headers, timeout=20)
        assert "; Secure" in response.headers["Set-Cookie"]
        kept = requests.get(
            f"{process.url}/dashboard/api/runs", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20
        )
        assert (kept.status_code, kept.json()["code"]) == (503, "unavailable")
        assert "database_url is off" in kept.json()["error"]
        session = requests.get(
            f"{process.url}/dashboard/api/session", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20
        )
        assert session.json() == {"success": True, "user": "boss", "has_log": False, "has_workers": False}
    finally:
        assert process.stop() == 0


@pytest.mark.parametrize(
    ("tried", "status", "code"),
    [
        (token("alice"), 403, "forbidden"),
        (token("alice", scope="chat"), 403, "forbidden"),
        (token("boss", expires=-60, scope="admin"), 401, "unauthorized"),
        ("nonsense", 401, "unauthorized"),
        ("", 401, "unauthorized"),
        (token("boss", scope="admin", padding="x" * 4000), 400, "invalid_request"),
    ],
)
def test_login_rejects_invalid_tokens(server: ServerProcess, tried: str, status: int, code: str) -> None:
    """A token without the scope, an invalid one, and one too long for a cookie set no cookie."""
    response = requests.post(f"{server.url}/dashboard/login", json={"token": tried}, headers=OWN_PAGE, timeout=20)
    assert (response.status_code, response.json()["code"], response.json()["success"]) == (status, code, False)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("path", ["runs", "runs/x", "stats", "choices", "columns"])
def test_every_endpoint_requires_an_admin(server: ServerProcess, path: str) -> None:
    """Requests without a token, without the scope, or with an invalid cookie are rejected."""
    url = f"{server.url}/dashboard/api/{path}"
    assert requests.get(url, timeout=20).status_code == 401
    assert requests.get(url, headers=server.headers(), timeout=20).status_code == 403
    assert requests.get(url, cookies={"persona_stream_admin": token("alice")}, timeout=20).status_code == 403
    assert requests.get(url, cookies={"persona_stream_admin": "x"}, timeout=20).status_code == 401


def test_logout_removes_the_cookie(server: ServerProcess, admin: requests.Session) -> None:
    """Later requests are anonymous."""
    url = f"{server.url}/dashboard"
    assert admin.get(f"{url}/api/session", timeout=20).json()["user"] == "boss"
    assert admin.post(f"{url}/logout", headers=OWN_PAGE, timeout=20).status_code == 200
    assert admin.get(f"{url}/api/session", timeout=20).json()["user"] is None
    assert admin.get(f"{url}/api/runs", timeout=20).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**OWN_PAGE, "Sec-Fetch-Site": "cross-site"},
        {**OWN_PAGE, "Sec-Fetch-Site": "same-site"},
        {**OWN_PAGE, "Origin": "https://evil.example"},
        {**OWN_PAGE, "Origin": "null"},
        {**OWN_PAGE, "Origin": "http://["},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_cross_site_requests_are_rejected(
    server: ServerProcess, admin: requests.Session, headers: dict[str, str]
) -> None:
    """Login, logout, cancellation and deletion require the dashboard's own page, even with a valid cookie."""
    url = f"{server.url}/dashboard"
    for response in (
        admin.post(f"{url}/login", json={"token": ADMIN}, headers=headers, timeout=20),
        admin.post(f"{url}/logout", headers=headers, timeout=20),
        admin.post(f"{url}/api/runs/x/cancel", headers=headers, timeout=20),
        admin.delete(f"{url}/api/users?name=alice", headers=headers, timeout=20),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert "Set-Cookie" not in response.headers


def test_an_invalid_filter_is_rejected(server: ServerProcess) -> None:
    """The error names the parameter. Ignoring it would return runs that the filter should exclude."""
    for name, wrong in (("failed", "0"), ("failed", ""), ("slow", "-1"), ("until", "3e16"), ("limit", "0")):
        response = get(server, "runs", params={name: wrong})
        assert (response.status_code, response.json()["error"].partition(":")[0]) == (400, name)
    assert get(server, "runs", params={"failed": "1"}).status_code == 200


def test_cors_is_disabled_for_the_dashboard(server: ServerProcess) -> None:
    """It sends no CORS headers and answers no preflight, unlike the rest of the API."""
    for path in ("/dashboard", "/dashboard/api/runs", "/dashboard/assets/main.js"):
        response = requests.get(server.url + path, headers={"Origin": "https://evil.example"}, timeout=20)
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    preflight = requests.options(f"{server.url}/dashboard/api/users", headers=asking, timeout=20)
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]
    assert requests.get(f"{server.url}/healthz", timeout=20).headers["Access-Control-Allow-Origin"] == "*"


def test_the_page_runs_only_its_own_scripts(server: ServerProcess) -> None:
    """Scripts and styles come from this server, nothing is inline, and no code inserts markup."""
    page = requests.get(f"{server.url}/dashboard", timeout=20)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types dompurify" in policy
    assert not re.search(r"\son\w+=|\sstyle=|<script(?! type=\"module\" src=)", page.text)
    files = set(re.findall(r"/dashboard/assets/([\w.]+)", page.text))
    waiting, sources = list(files), {}
    while waiting:
        name = waiting.pop()
        response = requests.get(f"{server.url}/dashboard/assets/{name}", timeout=20)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/javascript" if name.endswith(".js") else "text/css")
        sources[name] = response.text
        waiting += set(re.findall(r'from "\./([\w.]+)"', response.text)) - sources.keys()
    assert len(sources) > 10
    for name, source in sources.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source), name
        assert not re.search(r"https?://(?!www\.w3\.org)", source), name
    known = requests.get(f"{server.url}/dashboard", headers={"If-None-Match": page.headers["ETag"]}, timeout=20)
    assert (known.status_code, known.text) == (304, "")
    assert requests.get(f"{server.url}/dashboard/assets/nothing.js", timeout=20).status_code == 404
    assert requests.get(f"{server.url}/dashboard/assets/..%2f..%2fapp.py", timeout=20).status_code == 404


def test_a_run_appears_in_the_log(server: ServerProcess) -> None:
    """It is logged with its exact texts, its steps, and its headers without secrets."""
    run_id = run(server, HOSTILE, user="mallory")
    body = wait_for_log(server, run_id)
    assert body["texts"]["question"] == HOSTILE.strip()
    assert body["run"]["owner"] == "mallory"
    assert body["run"]["endpoint"] == "/api/chat"
    assert ["Authorization", "***"] in body["texts"]["request_headers"]
    kinds = [step["kind"] for step in body["texts"]["steps"]]
    assert (kinds[0], kinds[-1]) == ("started", "answered")
    listed = get(server, "runs", params={"user": "mallory"}).json()
    assert [each["run_id"] for each in listed["runs"]] == [run_id]
    found = get(server, "runs", params={"search": "onerror=alert(1)></script>"}).json()
    assert [each["run_id"] for each in found["runs"]] == [run_id]
    raw = get(server, f"runs/{run_id}")
    assert "\u2028" not in raw.text
    assert raw.headers["Content-Type"] == "application/json"
    assert raw.headers["Cache-Control"] == "no-store"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


def test_the_list_of_runs_is_paginated(server: ServerProcess) -> None:
    """The pages contain each run once, newest first."""
    names = [run(server, f"page {number}", user="pager") for number in range(5)]
    for name in names:
        wait_for_log(server, name)
    seen: list[str] = []
    before = None
    while True:
        page = get(server, "runs", params={"user": "pager", "limit": 2, "before": before}).json()
        seen += [each["run_id"] for each in page["runs"]]
        before = page["next"]
        if before is None:
            break
    assert seen == names[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "slow=fast",
        "slow=nan",
        "since=-1",
        "since=",
        "failed=",
        "until=inf",
        f"search={'x' * 201}",
    ],
)
def test_an_invalid_query_is_rejected(server: ServerProcess, query: str) -> None:
    """The error begins with the name of the parameter."""
    response = get(server, f"runs?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert response.json()["error"].startswith(query.partition("=")[0])


def test_an_active_run_can_be_followed_and_cancelled(server: ServerProcess) -> None:
    """It is in the log at once; its stream can be opened with a ticket, and the admin can cancel it."""
    began = server.post("/api/stream_chat_smart", {"username": "slow", "message": "60"}, stream=True)
    run_id = began.headers["X-Run-Id"]
    try:
        body = get(server, f"runs/{run_id}").json()
        assert body["run"]["status"] == "processing"
        assert body["run"]["total"] is None
        with requests.get(server.url + body["events_url"], stream=True, timeout=20) as stream:
            assert stream.status_code == 200
            assert b"id: " in next(stream.iter_content(64))
        cancel = requests.post(
            f"{server.url}/dashboard/api/runs/{run_id}/cancel", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20
        )
        assert cancel.status_code == 200
        assert read(began)[-1].data["status"] == "cancelled"
    finally:
        began.close()
    assert wait_for_log(server, run_id)["run"]["status"] == "cancelled"
    gone = get(server, "runs/00000000000000000000000000")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_all_data_of_a_user_can_be_deleted(server: ServerProcess, admin: requests.Session) -> None:
    """Runs and conversations of the user are deleted, active runs cancelled, and other users keep their data."""
    mine, theirs = run(server, user="leaver/ü"), run(server, user="stayer")
    wait_for_log(server, mine)
    wait_for_log(server, theirs)
    left = server.post("/api/stream_chat_smart", {"username": "slow", "message": "60"}, user="leaver/ü", stream=True)
    response = admin.delete(
        f"{server.url}/dashboard/api/users", params={"name": "leaver/ü"}, headers=OWN_PAGE, timeout=30
    )
    assert response.status_code == 200
    assert read(left)[-1].data["status"] == "cancelled"
    assert get(server, "runs", params={"user": "leaver/ü"}).json()["runs"] == []
    assert get(server, f"runs/{mine}").status_code == 404
    assert server.get("/api/conversations", user="leaver/ü").json()["conversations"] == []
    assert get(server, f"runs/{theirs}").status_code == 200
    assert admin.delete(f"{server.url}/dashboard/api/users", headers=OWN_PAGE, timeout=20).status_code == 400


def test_statistics_and_filter_options(server: ServerProcess) -> None:
    """Statistics count the runs, and the filter options contain the values of the log."""
    run_id = run(server, user="counted")
    wait_for_log(server, run_id)
    chart = get(server, "stats").json()["chart"]
    assert chart["totals"]["requests"] >= 1
    assert sum(point["requests"] for point in chart["points"]) == chart["totals"]["requests"]
    assert "counted" in get(server, "choices").json()["choices"]["owners"]
    assert get(server, "stats", params={"since": time.time() + 60}).status_code == 400
