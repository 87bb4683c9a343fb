"""Status texts, chunkers and personas of an application's own, from the snippets of docs/STREAMING.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from persona_stream.settings import load_settings
from tests.documents import Document
from tests.http.test_other_servers import running
from tests.server_process import serve, token
from tests.sse_client import answer, read

HEADING = "Your own texts, chunkers and personas"
SNIPPETS = [each for each in Document("docs/STREAMING.md").snippets() if each.heading == HEADING]
PYTHON = [each.body for each in SNIPPETS if each.language == "python"]
JAPANESE = ("考えています…", "資料を調べています…", "もうすぐです…")
ASK = """import time

def ask(message, locale, persona):
    time.sleep(0.2)
    name = persona.name_in(locale) if persona else "Nobody"
    return f"{name} ({locale})\\n{message}\\n"

"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the snippets as one application, with the arguments of both calls of create_app."""
    folder: Path = tmp_path_factory.mktemp("own")
    texts, chunker, personas = PYTHON
    personas = personas.replace("personas=load_personas", 'personas=load_personas, status_messages={"ja": JAPANESE}')
    (folder / "own_site.py").write_text(ASK + texts + chunker + personas, "utf-8")
    command = ("-m", "gevent.monkey", "--module", "flask", "--app", "own_site", "run", "--port", "PORT")
    environ = {"PERSONA_STREAM_DATABASE_URL": "off", "PERSONA_STREAM_STATE_DIR": str(folder)}
    with running(*command, cwd=folder, **environ) as (url, _):
        yield url


def ask(
    server: str, *, language: str = "", path: str = "/api/stream_chat_smart", **fields: object
) -> requests.Response:
    """Send a question."""
    headers = {"Authorization": f"Bearer {token()}", **({"Accept-Language": language} if language else {})}
    body = {"username": "ada", "message": "one\ntwo", **fields}
    return requests.post(server + path, json=body, headers=headers, stream=True, timeout=60)


@pytest.mark.parametrize("named", [{"locale": "ja"}, {"language": "ja-JP,en;q=0.5"}], ids=["field", "header"])
def test_a_request_in_a_further_language_gets_its_status_texts(server: str, named: dict[str, str]) -> None:
    """The function knows the language, and each line is a chunk of the registered chunker."""
    events = [event.data for event in read(ask(server, chunking="lines", **named))]
    assert JAPANESE[0] in [event.get("message") for event in events]
    assert [event["data"] for event in events if event["data"]] == ["Ada (ja)\n", "one\n", "two\n"]
    run = f"{server}/api/runs/{events[0]['run_id']}/events?locale=ja"
    resumed = requests.get(run, headers={"Authorization": f"Bearer {token()}"}, timeout=20)
    assert resumed.status_code == 200


def test_a_language_without_texts_is_rejected(server: str) -> None:
    """The message has the languages."""
    response = ask(server, locale="fr", path="/api/chat")
    assert (response.status_code, response.json()["error"]) == (400, "locale: must be one of zh, en, ja")
    document = requests.get(f"{server}/openapi.json", timeout=20).json()
    locale = document["components"]["schemas"]["ChatRequest"]["properties"]["locale"]
    assert locale["anyOf"][0]["enum"] == ["zh", "en", "ja"]


def test_the_personas_are_those_of_the_source(server: str) -> None:
    """Listed in the language of the caller."""
    headers = {"Authorization": f"Bearer {token()}", "Accept-Language": "zh"}
    profiles = requests.get(f"{server}/api/profiles", headers=headers, timeout=20).json()["profiles"]
    assert [(profile["username"], profile["name"]) for profile in profiles] == [("ada", "埃达")]
    assert ask(server, username="LuXun", path="/api/chat").status_code == 404
    assert answer(read(ask(server, locale="en"))).startswith("Ada (en)")


def test_the_settings_file_has_status_texts_too(tmp_path: Path) -> None:
    """In the table of the document."""
    [table] = [each.body for each in SNIPPETS if each.language == "toml"]
    file = tmp_path / "settings.toml"
    file.write_text(table, "utf-8")
    assert load_settings({}, {}, file).settings.status_messages == {"ja": JAPANESE}


def test_requests_that_name_no_language_have_that_of_the_settings() -> None:
    """Which must have texts."""
    server = serve("tests.backends_for_tests:quick", locale="en")
    try:
        messages = [
            event.data.get("message")
            for event in read(server.post("/api/stream_chat_smart", {"username": "x", "message": "Hi"}))
        ]
        assert "Setting up the connection..." in messages
    finally:
        server.stop()
    with pytest.raises(RuntimeError, match="locale must be one of zh, en, not fr"):
        serve("tests.backends_for_tests:quick", locale="fr")
