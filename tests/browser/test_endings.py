"""Runs that are stopped, fail or are refused: messages of the page, and text that it keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.backend import FAILURE, SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART
from tests.browser.serving import Server, serving
from tests.polling import wait_for

HEADERS = {"Content-Type": "text/event-stream", "Retry-After": "7"}
REFUSALS = [
    (400, "invalid_request", "Correct the field"),
    (403, "forbidden", "lacks a scope"),
    (409, "conflict", "gets a new key"),
    (413, "too_large", "Shorten the message"),
    (429, "rate_limited", "Try again in 7 s."),
    (429, "busy", "at capacity"),
    (503, "draining", "restarting"),
    (503, "unavailable", "contact the server's operator"),
    (500, "internal", "Internal error"),
]


@pytest.mark.parametrize("endpoint", ["smart", "chat"])
def test_stop_while_waiting(visit: Visit, server: Server, endpoint: str) -> None:
    """The send button stops the run, on the server too, and the page is ready for the next question."""
    chat = visit(server.page, requests_fail=endpoint == "chat").connected()
    chat.ask("story wait=30", endpoint=endpoint)
    expect(chat.send).to_have_accessible_name("Stop")
    if endpoint == "chat":
        expect(chat.status).to_contain_text("Waiting for the complete answer")
        expect(chat.status.locator(".run")).not_to_be_empty()
        chat.shoot("chat-waiting")
    with chat.page.expect_response("**/cancel") as cancelled:
        chat.send.click()
    assert cancelled.value.json()["status"] == "cancelled"
    chat.ended()
    expect(chat.notice).to_contain_text("Stopped")
    expect(chat.send).to_have_accessible_name("Send")
    chat.ask("hello", endpoint="smart")
    assert chat.ended().text() == SHORT


def test_stop_while_writing_keeps_the_text(visit: Visit, server: Server) -> None:
    """The run is complete by then: the page stops reading, keeps the text, and can continue."""
    with CuttingProxy(server.port) as proxy:
        proxy.chunks = 6
        chat = visit(f"{proxy.address}/#token={server.token}").connected()
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        chat.send.click()
        chat.ended()
        expect(chat.notice).to_contain_text("Stopped")
        assert chat.text().startswith(held)
        assert STORY.startswith(chat.text())
        proxy.release()
        chat.turn.get_by_role("button", name="Continue").click()
        assert chat.ended().text() == STORY


def test_a_backend_error_is_shown_verbatim(visit: Visit, server: Server) -> None:
    """The text of the backend is shown, with a button to try again."""
    chat = visit(server.page).connected()
    chat.ask("fail")
    chat.ended()
    expect(chat.notice).to_contain_text("The backend reported an error")
    expect(chat.notice).to_contain_text(FAILURE)
    expect(chat.page.locator("#alarm")).to_contain_text("The backend reported an error")
    chat.shoot("error")
    chat.turn.get_by_role("button", name="Try again").click()
    expect(chat.turns).to_have_count(2)
    chat.ended()


def test_the_text_of_a_crash_is_not_shown(visit: Visit, server: Server) -> None:
    """Another exception leads to a general message, with the run id."""
    chat = visit(server.page, requests_fail=True).connected()
    for endpoint in ("smart", "chat"):
        chat.ask("crash", endpoint=endpoint)
        chat.ended()
        expect(chat.notice).to_contain_text("Internal error")
        expect(chat.notice.locator("code")).not_to_be_empty()
    assert "secret" not in chat.page.locator("body").inner_text()


def test_a_run_that_exceeds_its_deadline_times_out(visit: Visit, tmp_path: Path) -> None:
    """The message has the next step."""
    with serving(tmp_path, "--backend", "tests.browser.backend:answer", "--timeout", "1.5") as hasty:
        chat = visit(hasty.page).connected()
        chat.ask("wait=20")
        chat.ended()
        expect(chat.notice).to_contain_text("The run timed out")
        expect(chat.notice).to_contain_text("ask a shorter question")
        chat.shoot("timeout")


def test_a_run_that_will_probably_miss_its_deadline_says_so(visit: Visit, tmp_path: Path) -> None:
    """While it runs, and before the next one, once most runs have missed it."""
    with serving(tmp_path, "--backend", "tests.browser.backend:answer", "--timeout", "4") as hasty:
        question = {"username": "x", "message": "wait=20"}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: hasty.post("/api/chat", question), range(8)))
        assert [answer.status_code for answer in answers] == [504] * 8
        wait_for(lambda: hasty.get("/api/forecast").json()["runs"] == 8)
        chat = visit(hasty.page).connected()
        expect(chat.page.locator("#usually")).to_contain_text("Usually")
        chat.ask("wait=20")
        expect(chat.status).to_contain_text("May exceed the limit of 4 s.")
        expect(chat.status).to_contain_text("at most")
        chat.shoot("late")
        chat.ended()
        expect(chat.page.locator("#usually")).to_contain_text("may exceed the limit of 4 s")


def test_a_failure_keeps_the_partial_answer(visit: Visit, server: Server) -> None:
    """The text received before an error stays, and the message says so."""
    chunk = 'id: run/2.5\ndata: {"success":true,"data":"Half a","status":"streaming","is_complete":false}\n\n'
    error = 'id: run/3.0\ndata: {"success":false,"error":"x","code":"lost","status":"error","is_complete":true}\n\n'
    chat = visit(server.page).connected()
    chat.instead(SMART, chunk + error)
    chat.ask("hello")
    chat.ended()
    assert chat.text() == "Half a"
    expect(chat.notice).to_contain_text("ended unexpectedly")
    expect(chat.notice).to_contain_text("kept above")


def test_an_unknown_persona_is_refused_with_advice(visit: Visit, demo: Server) -> None:
    """The list of personas stays available."""
    chat = visit(demo.page, requests_fail=True).connected()
    chat.page.locator("#persona").select_option(label="Another name…")
    chat.page.locator("#username").fill("Nobody")
    for endpoint in ("smart", "chat"):
        chat.ask("hello", endpoint=endpoint)
        chat.ended()
        expect(chat.notice).to_contain_text("There is no persona with this name")
        expect(chat.notice).to_contain_text("Choose a persona from the list")
    chat.shoot("unknown-persona")


def test_an_invalid_token_opens_the_connection_settings(visit: Visit, server: Server) -> None:
    """They tell how to create another one; a valid token closes them."""
    chat = visit(f"{server.address}/#token=not.a.token", requests_fail=True)
    panel = chat.page.get_by_role("region", name="Connection")
    expect(panel).to_contain_text("The token is invalid or expired")
    expect(panel).to_contain_text("persona-stream token --user NAME")
    chat.shoot("bad-token")
    chat.page.get_by_label("Token").fill(server.token)
    chat.page.get_by_label("Token").press("Enter")
    chat.connected()
    expect(panel).to_be_hidden()


def test_a_token_refused_for_a_question_opens_the_connection_settings(visit: Visit, server: Server) -> None:
    """And the turn has the message."""
    chat = visit(server.page, requests_fail=True).connected()
    refusal = '{"success":false,"error":"expired","code":"unauthorized","status":"error","is_complete":true}'
    chat.instead(SMART, f"data: {refusal}\n\n", status=401)
    chat.ask("hello")
    chat.ended()
    expect(chat.notice).to_contain_text("The token is invalid or expired")
    expect(chat.page.get_by_role("region", name="Connection")).to_be_visible()


def test_without_a_token_the_page_asks_for_one(visit: Visit, server: Server) -> None:
    """With the command that creates one."""
    chat = visit(server.address, requests_fail=True)
    expect(chat.page.get_by_role("heading", name="First, connect to a server")).to_be_visible()
    expect(chat.page.get_by_label("Token")).to_be_focused()
    expect(chat.page.get_by_role("region", name="Connection")).to_contain_text("prints a token")
    chat.shoot("no-token")


def test_the_token_leaves_the_url_and_stays_in_the_tab(visit: Visit, server: Server) -> None:
    """It is in neither the URL nor the history nor the local storage."""
    chat = visit(server.page).connected()
    assert chat.page.url == f"{server.address}/"
    assert server.token not in chat.page.evaluate("JSON.stringify(localStorage)")
    chat.page.reload()
    chat.connected()


def test_an_unreachable_server_is_named(visit: Visit, server: Server) -> None:
    """In the connection settings and in the turn."""
    with CuttingProxy(server.port) as proxy:
        proxy.refusing = True
        chat = visit(server.page, requests_fail=True).connected()
        chat.page.locator("#connection-toggle").click()
        chat.page.get_by_label("Server").fill(proxy.address)
        chat.page.get_by_label("Server").press("Enter")
        expect(chat.page.get_by_role("region", name="Connection")).to_contain_text(f"Cannot reach {proxy.address}")
        chat.ask("hello")
        chat.ended()
        expect(chat.notice).to_contain_text(f"Cannot reach {proxy.address}")
        proxy.refusing = False
        chat.turn.get_by_role("button", name="Try again").click()
        expect(chat.turns).to_have_count(2)
        assert chat.ended().text() == SHORT


def test_a_foreign_response_is_recognised(visit: Visit, server: Server) -> None:
    """The page of a proxy or a login is not shown as an answer."""
    chat = visit(server.page).connected()
    chat.instead(SMART, "<h1>Log in</h1>", content_type="text/html")
    chat.ask("hello")
    chat.ended()
    expect(chat.notice).to_contain_text("not from a persona_stream server")


def test_every_refusal_has_its_message(visit: Visit, server: Server) -> None:
    """One for each code, and the server's text where it tells more."""
    chat = visit(server.page, requests_fail=True).connected()
    for status, code, words in REFUSALS:
        refusal = f'{{"success":false,"error":"field x","code":"{code}","status":"error","is_complete":true}}'
        chat.instead(SMART, f"data: {refusal}\n\n", status=status, headers=HEADERS)
        chat.ask("hello")
        chat.ended()
        expect(chat.notice).to_contain_text(words)
        if code == "invalid_request":
            expect(chat.notice).to_contain_text("field x")
