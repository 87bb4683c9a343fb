"""The dashboard over HTTP: who may look, what is told, and what another site's page cannot do."""

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
OURS = {"X-Persona-Dashboard": "1"}
HOSTILE = "<img src=x onerror=alert(1)></script>\x1b[31m\u2028 \U0001f469\u200d\U0001f467 %_!"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that keeps a log."""
    state = tmp_path_factory.mktemp("state")
    served = ServerProcess(
        [
            "--backend=tests.backends_for_tests:chosen",
            f"--jwt-secret={SECRET}",
            f"--state-dir={state}",
            f"--database-url=sqlite:///{state / 'log.sqlite'}",
        ]
    )
    yield served
    assert served.stop() == 0


@pytest.fixture
def admin(server: ServerProcess) -> Iterator[requests.Session]:
    """A browser that has logged in."""
    with requests.Session() as session:
        answer = session.post(f"{server.url}/dashboard/login", json={"token": ADMIN}, headers=OURS, timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        yield session


def asked(server: ServerProcess, path: str, **more: Any) -> requests.Response:
    """Ask as a script with the admin's token does."""
    return requests.get(
        f"{server.url}/dashboard/api/{path}", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20, **more
    )


def run(server: ServerProcess, message: str = "hello", user: str = "alice", username: str = "echo") -> str:
    """Let a run happen, and give its name."""
    answer = server.post("/api/chat", {"username": username, "message": message}, user=user)
    return str(answer.headers["X-Run-Id"])


def shown(server: ServerProcess, run_id: str) -> dict[str, Any]:
    """Wait until all that happened to a run is written, and give it."""
    until = time.monotonic() + 20
    while True:
        answer = asked(server, f"runs/{run_id}")
        body: dict[str, Any] = answer.json()
        if answer.ok and body["run"]["status"] != "processing" and body["run"]["readers"]:
            return body
        assert time.monotonic() < until, body
        time.sleep(0.1)  # between two looks


def test_the_cookie_is_for_the_browser_alone(server: ServerProcess) -> None:
    """No script reads it, no other site sends it, only the dashboard gets it, and it ends with the token."""
    answer = requests.post(f"{server.url}/dashboard/login", json={"token": f" {ADMIN}\n"}, headers=OURS, timeout=20)
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["persona_stream_admin"]
    assert cookie.value == ADMIN
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/dashboard")
    assert not cookie["secure"]
    ends = time.mktime(time.strptime(cookie["expires"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert ends == jwt.decode(ADMIN, SECRET, algorithms=["HS256"])["exp"]


def test_over_https_the_cookie_stays_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Behind a proxy that speaks HTTPS it is never sent in the clear."""
    folder = tmp_path_factory.mktemp("state")
    served = ServerProcess([f"--jwt-secret={SECRET}", f"--state-dir={folder}", "--trusted-proxies=127.0.0.1"])
    try:
        headers = {**OURS, "X-Forwarded-Proto": "https"}
        answer = requests.post(f"{served.url}/dashboard/login", json={"token": ADMIN}, headers=headers, timeout=20)
        assert "; Secure" in answer.headers["Set-Cookie"]
        kept = requests.get(
            f"{served.url}/dashboard/api/runs", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20
        )
        assert (kept.status_code, kept.json()["code"]) == (503, "unavailable")
        assert "database_url is off" in kept.json()["error"]
        session = requests.get(
            f"{served.url}/dashboard/api/session", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=20
        )
        assert session.json() == {"success": True, "user": "boss", "has_log": False}
    finally:
        assert served.stop() == 0


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
def test_who_is_not_let_in(server: ServerProcess, tried: str, status: int, code: str) -> None:
    """Without the scope, or with a token that does not count or fits no cookie, there is none."""
    answer = requests.post(f"{server.url}/dashboard/login", json={"token": tried}, headers=OURS, timeout=20)
    assert (answer.status_code, answer.json()["code"], answer.json()["success"]) == (status, code, False)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["runs", "runs/x", "stats", "choices"])
def test_every_address_asks_who_it_is(server: ServerProcess, path: str) -> None:
    """Nobody, a user without the scope, and a cookie that does not count get nothing."""
    url = f"{server.url}/dashboard/api/{path}"
    assert requests.get(url, timeout=20).status_code == 401
    assert requests.get(url, headers=server.headers(), timeout=20).status_code == 403
    assert requests.get(url, cookies={"persona_stream_admin": token("alice")}, timeout=20).status_code == 403
    assert requests.get(url, cookies={"persona_stream_admin": "x"}, timeout=20).status_code == 401


def test_logging_out(server: ServerProcess, admin: requests.Session) -> None:
    """The cookie is gone afterwards, and what comes without one is nobody's."""
    url = f"{server.url}/dashboard"
    assert admin.get(f"{url}/api/session", timeout=20).json()["user"] == "boss"
    assert admin.post(f"{url}/logout", headers=OURS, timeout=20).status_code == 200
    assert admin.get(f"{url}/api/session", timeout=20).json()["user"] is None
    assert admin.get(f"{url}/api/runs", timeout=20).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Origin": "https://evil.example"},
        {**OURS, "Origin": "null"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_another_sites_page_changes_nothing(
    server: ServerProcess, admin: requests.Session, headers: dict[str, str]
) -> None:
    """What it could send with somebody's cookie is refused: login, logout, cancelling, deleting."""
    url = f"{server.url}/dashboard"
    for answer in (
        admin.post(f"{url}/login", json={"token": ADMIN}, headers=headers, timeout=20),
        admin.post(f"{url}/logout", headers=headers, timeout=20),
        admin.post(f"{url}/api/runs/x/cancel", headers=headers, timeout=20),
        admin.delete(f"{url}/api/users?name=alice", headers=headers, timeout=20),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "Set-Cookie" not in answer.headers


def test_a_filter_that_makes_no_sense_is_refused(server: ServerProcess) -> None:
    """With its name, and never passed over: a list that shows too much looks as one that is right."""
    for name, wrong in (("failed", "0"), ("failed", ""), ("slow", "-1"), ("until", "3e16"), ("limit", "0")):
        refused = asked(server, "runs", params={name: wrong})
        assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, name)
    assert asked(server, "runs", params={"failed": "1"}).status_code == 200


def test_no_other_origin_may_read_it(server: ServerProcess) -> None:
    """No header of CORS is sent there, and no preflight answered; elsewhere it is as ever."""
    for path in ("/dashboard", "/dashboard/api/runs", "/dashboard/assets/main.js"):
        answer = requests.get(server.url + path, headers={"Origin": "https://evil.example"}, timeout=20)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    preflight = requests.options(f"{server.url}/dashboard/api/users", headers=asking, timeout=20)
    assert not [name for name in preflight.headers if name.lower().startswith("access-control")]
    assert requests.get(f"{server.url}/healthz", timeout=20).headers["Access-Control-Allow-Origin"] == "*"


def test_the_page_can_run_nothing_but_its_own(server: ServerProcess) -> None:
    """Scripts and styles come from here, nothing is inline, and no text can become markup."""
    page = requests.get(f"{server.url}/dashboard", timeout=20)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|<script(?! type=\"module\" src=)", page.text)
    files = set(re.findall(r"/dashboard/assets/([\w.]+)", page.text))
    waiting, sources = list(files), {}
    while waiting:
        name = waiting.pop()
        answer = requests.get(f"{server.url}/dashboard/assets/{name}", timeout=20)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/javascript" if name.endswith(".js") else "text/css")
        sources[name] = answer.text
        waiting += set(re.findall(r'from "\./([\w.]+)"', answer.text)) - sources.keys()
    assert len(sources) > 10
    for name, source in sources.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source), name
        assert not re.search(r"https?://(?!www\.w3\.org)", source), name
    known = requests.get(f"{server.url}/dashboard", headers={"If-None-Match": page.headers["ETag"]}, timeout=20)
    assert (known.status_code, known.text) == (304, "")
    assert requests.get(f"{server.url}/dashboard/assets/nothing.js", timeout=20).status_code == 404
    assert requests.get(f"{server.url}/dashboard/assets/..%2f..%2fapp.py", timeout=20).status_code == 404


def test_a_run_is_listed_and_shown(server: ServerProcess) -> None:
    """A moment after it happened, with its texts to the character, its headers without secrets, and its times."""
    run_id = run(server, HOSTILE, user="mallory")
    body = shown(server, run_id)
    assert body["texts"]["question"] == HOSTILE.strip()
    assert body["run"]["owner"] == "mallory"
    assert body["run"]["endpoint"] == "/api/chat"
    assert ["Authorization", "***"] in body["texts"]["request_headers"]
    kinds = [step["kind"] for step in body["texts"]["steps"]]
    assert (kinds[0], kinds[-1]) == ("started", "answered")
    listed = asked(server, "runs", params={"user": "mallory"}).json()
    assert [each["run_id"] for each in listed["runs"]] == [run_id]
    found = asked(server, "runs", params={"search": "onerror=alert(1)></script>"}).json()
    assert [each["run_id"] for each in found["runs"]] == [run_id]
    raw = asked(server, f"runs/{run_id}")
    assert "\u2028" not in raw.text
    assert raw.headers["Content-Type"] == "application/json"
    assert raw.headers["Cache-Control"] == "no-store"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_of_the_list(server: ServerProcess) -> None:
    """Newest first, and page after page to the end."""
    names = [run(server, f"page {number}", user="pager") for number in range(5)]
    for name in names:
        shown(server, name)
    seen: list[str] = []
    before = None
    while True:
        page = asked(server, "runs", params={"user": "pager", "limit": 2, "before": before}).json()
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
def test_a_query_that_means_nothing(server: ServerProcess, query: str) -> None:
    """It is refused with a sentence that names what is wrong."""
    answer = asked(server, f"runs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["error"].startswith(query.partition("=")[0])


def test_a_run_under_way(server: ServerProcess) -> None:
    """It is listed at once as in progress; its stream can be opened with a ticket, and it can be ended from here."""
    began = server.post("/api/stream_chat_smart", {"username": "slow", "message": "60"}, stream=True)
    run_id = began.headers["X-Run-Id"]
    try:
        body = asked(server, f"runs/{run_id}").json()
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
    assert shown(server, run_id)["run"]["status"] == "cancelled"
    gone = asked(server, "runs/00000000000000000000000000")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_all_that_is_kept_of_a_user_can_be_deleted(server: ServerProcess, admin: requests.Session) -> None:
    """Runs and conversations of that user are gone, what is under way is ended, and nobody else's is touched."""
    mine, theirs = run(server, user="leaver/ü"), run(server, user="stayer")
    shown(server, mine)
    shown(server, theirs)
    left = server.post("/api/stream_chat_smart", {"username": "slow", "message": "60"}, user="leaver/ü", stream=True)
    answer = admin.delete(f"{server.url}/dashboard/api/users", params={"name": "leaver/ü"}, headers=OURS, timeout=30)
    assert answer.status_code == 200
    assert read(left)[-1].data["status"] == "cancelled"
    assert asked(server, "runs", params={"user": "leaver/ü"}).json()["runs"] == []
    assert asked(server, f"runs/{mine}").status_code == 404
    assert server.get("/api/conversations", user="leaver/ü").json()["conversations"] == []
    assert asked(server, f"runs/{theirs}").status_code == 200
    assert admin.delete(f"{server.url}/dashboard/api/users", headers=OURS, timeout=20).status_code == 400


def test_numbers_and_choices(server: ServerProcess) -> None:
    """Charts count what happened, and filters offer what there is."""
    run_id = run(server, user="counted")
    shown(server, run_id)
    chart = asked(server, "stats").json()["chart"]
    assert chart["totals"]["requests"] >= 1
    assert sum(point["requests"] for point in chart["points"]) == chart["totals"]["requests"]
    assert "counted" in asked(server, "choices").json()["choices"]["owners"]
    assert asked(server, "stats", params={"since": time.time() + 60}).status_code == 400
