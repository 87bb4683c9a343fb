"""The API inside an existing Flask application, as docs/LOGIN.md has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.documents import Document
from tests.http.test_other_servers import running
from tests.sse_client import answer, read

SMART = "/assistant/api/stream_chat_smart"
QUESTION = {"message": "Hi"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the application of the document in Flask's development server, and return its URL."""
    folder: Path = tmp_path_factory.mktemp("site")
    heading = "In an existing Flask application"
    [code] = [each.body for each in Document("docs/LOGIN.md").snippets() if each.heading == heading]
    (folder / "host_site.py").write_text(code, "utf-8")
    command = ("-m", "gevent.monkey", "--module", "flask", "--app", "host_site", "run", "--port", "PORT")
    environ = {"PERSONA_STREAM_DATABASE_URL": "off", "PERSONA_STREAM_STATE_DIR": str(folder)}
    with running(*command, cwd=folder, health="/assistant/healthz", **environ) as (url, _):
        yield url


@pytest.fixture
def browser(site: str) -> requests.Session:
    """Return a session that is logged in as alice in the application."""
    session = requests.Session()
    assert session.get(f"{site}/login/alice", timeout=20).text == "Hello alice"
    return session


def test_the_login_of_the_application_opens_the_api(site: str, browser: requests.Session) -> None:
    """A run belongs to the user of the application, and its addresses have the prefix."""
    with browser.post(site + SMART, json=QUESTION, stream=True, timeout=60) as response:
        assert response.status_code == 200, response.text
        location = response.headers["Location"]
        assert answer(read(response)) == "You asked: Hi"
    assert location.startswith("/assistant/api/runs/")
    run = location.removesuffix("/events")
    assert browser.get(site + run, timeout=20).json()["status"] == "complete"
    other = requests.Session()
    other.get(f"{site}/login/bob", timeout=20)
    assert other.get(site + run, timeout=20).status_code == 404
    assert requests.post(site + SMART, json=QUESTION, timeout=20).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_pages_of_other_origins_cannot_use_the_login(
    site: str, browser: requests.Session, headers: dict[str, str], status: int
) -> None:
    """Neither with a script nor with a form."""
    sent = {"Content-Type": "application/json", **headers}
    response = browser.post(site + SMART, data=b'{"message": "Hi"}', headers=sent, timeout=20)
    assert (response.status_code, "Access-Control-Allow-Origin" in response.headers) == (status, False)


def test_a_page_of_the_application_may_use_it(site: str, browser: requests.Session) -> None:
    """Its browser sends both headers."""
    headers = {"Origin": site, "Sec-Fetch-Site": "same-origin"}
    assert browser.post(f"{site}/assistant/api/chat", json=QUESTION, headers=headers, timeout=60).status_code == 200


def test_pages_are_left_out(site: str, browser: requests.Session) -> None:
    """The rest of the application is unchanged."""
    for path in ("/assistant", "/assistant/dashboard", "/assistant/docs", "/assistant/assets/markdown.js"):
        assert browser.get(site + path, timeout=20).status_code == 404
    assert browser.get(f"{site}/nowhere", timeout=20).headers["Content-Type"].startswith("text/html")
