"""What the page says, and what it keeps, when a run does not end with its answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.backend import FAILURE, SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART
from tests.browser.serving import Server, serving

HEADERS = {"Content-Type": "text/event-stream", "Retry-After": "7"}
REFUSALS = [
    (400, "invalid_request", "Correct what it names"),
    (403, "forbidden", "carries the scope"),
    (409, "conflict", "gets a new key"),
    (413, "too_large", "Shorten the message"),
    (429, "rate_limited", "Try again in 7 s."),
    (429, "busy", "Every place is taken"),
    (503, "draining", "restarting"),
    (503, "unavailable", "out of reach"),
    (500, "internal", "Try again"),
]


@pytest.mark.parametrize("endpoint", ["smart", "chat"])
def test_stop_while_waiting(visit: Visit, server: Server, endpoint: str) -> None:
    """The button that sent stops the run, on the server too, and the page is ready for the next question."""
    chat = visit(server.page, requests_fail=endpoint == "chat").connected()
    chat.ask("story wait=30", endpoint=endpoint)
    expect(chat.send).to_have_accessible_name("Stop")
    if endpoint == "chat":
        expect(chat.status).to_contain_text("Waiting for the whole answer")
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


def test_stop_while_writing_keeps_what_is_there(visit: Visit, server: Server) -> None:
    """An answer that is being delivered is already given: the reader stops, keeps what has come, and may go on."""
    with CuttingProxy(server.port) as proxy:
        proxy.pieces = 6
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


def test_a_deliberate_error_is_read_word_for_word(visit: Visit, server: Server) -> None:
    """The backend's own words are shown, with a way to try again."""
    chat = visit(server.page).connected()
    chat.ask("fail")
    chat.ended()
    expect(chat.notice).to_contain_text("The backend could not answer")
    expect(chat.notice).to_contain_text(FAILURE)
    expect(chat.page.locator("#alarm")).to_contain_text("The backend could not answer")
    chat.shoot("error")
    chat.turn.get_by_role("button", name="Try again").click()
    expect(chat.turns).to_have_count(2)
    chat.ended()


def test_a_crash_shows_nothing_of_its_text(visit: Visit, server: Server) -> None:
    """Another exception is a plain sentence."""
    chat = visit(server.page, requests_fail=True).connected()
    for endpoint in ("smart", "chat"):
        chat.ask("crash", endpoint=endpoint)
        chat.ended()
        expect(chat.notice).to_contain_text("Something went wrong while answering")
    assert "secret" not in chat.page.locator("body").inner_text()


def test_the_deadline(visit: Visit, tmp_path: Path) -> None:
    """A run that takes too long ends with a sentence that says so, and what to do."""
    with serving(tmp_path, "--backend", "tests.browser.backend:answer", "--timeout", "1.5") as hasty:
        chat = visit(hasty.page).connected()
        chat.ask("wait=20")
        chat.ended()
        expect(chat.notice).to_contain_text("The answer took too long")
        expect(chat.notice).to_contain_text("ask something smaller")
        chat.shoot("timeout")


def test_a_failure_keeps_the_partial_answer(visit: Visit, server: Server) -> None:
    """What has come before an error stays, and the page says that it does."""
    piece = 'id: run/2.5\ndata: {"success":true,"data":"Half a","status":"streaming","is_complete":false}\n\n'
    error = 'id: run/3.0\ndata: {"success":false,"error":"x","code":"lost","status":"error","is_complete":true}\n\n'
    chat = visit(server.page).connected()
    chat.instead(SMART, piece + error)
    chat.ask("hello")
    chat.ended()
    assert chat.text() == "Half a"
    expect(chat.notice).to_contain_text("has died")
    expect(chat.notice).to_contain_text("kept above")


def test_an_unknown_persona(visit: Visit, demo: Server) -> None:
    """A name that nobody has is refused with advice, and the list of names is at hand."""
    chat = visit(demo.page, requests_fail=True).connected()
    chat.page.locator("#persona").select_option(label="Another name…")
    chat.page.locator("#username").fill("Nobody")
    for endpoint in ("smart", "chat"):
        chat.ask("hello", endpoint=endpoint)
        chat.ended()
        expect(chat.notice).to_contain_text("Nobody here has that name")
        expect(chat.notice).to_contain_text("Choose a persona from the list")
    chat.shoot("unknown-persona")


def test_a_bad_token_at_the_door(visit: Visit, server: Server) -> None:
    """A token that does not count opens the connection settings, which say how to get another; a good one mends it."""
    chat = visit(f"{server.address}/#token=not.a.token", requests_fail=True)
    panel = chat.page.get_by_role("region", name="Connection")
    expect(panel).to_contain_text("The token was not accepted")
    expect(panel).to_contain_text("persona-stream token --user NAME")
    chat.shoot("bad-token")
    chat.page.get_by_label("Token").fill(server.token)
    chat.page.get_by_label("Token").press("Enter")
    chat.connected()
    expect(panel).to_be_hidden()


def test_a_bad_token_in_a_request(visit: Visit, server: Server) -> None:
    """A question that is refused for its token says so, and opens the connection settings."""
    chat = visit(server.page, requests_fail=True).connected()
    refusal = '{"success":false,"error":"expired","code":"unauthorized","status":"error","is_complete":true}'
    chat.instead(SMART, f"data: {refusal}\n\n", status=401)
    chat.ask("hello")
    chat.ended()
    expect(chat.notice).to_contain_text("The token was not accepted")
    expect(chat.page.get_by_role("region", name="Connection")).to_be_visible()


def test_without_a_token(visit: Visit, server: Server) -> None:
    """Who comes without a token sees where it goes in, and how to get one."""
    chat = visit(server.address)
    expect(chat.page.get_by_role("heading", name="First, connect to a server")).to_be_visible()
    expect(chat.page.get_by_label("Token")).to_be_focused()
    expect(chat.page.get_by_role("region", name="Connection")).to_contain_text("prints a token")
    chat.shoot("no-token")


def test_the_token_leaves_the_address_and_stays_in_the_tab(visit: Visit, server: Server) -> None:
    """The token is in neither the address nor the history nor anything that outlives the tab."""
    chat = visit(server.page).connected()
    assert chat.page.url == f"{server.address}/"
    assert server.token not in chat.page.evaluate("JSON.stringify(localStorage)")
    chat.page.reload()
    chat.connected()


def test_no_server(visit: Visit, server: Server) -> None:
    """An address where nobody answers is named."""
    with CuttingProxy(server.port) as proxy:
        proxy.refusing = True
        chat = visit(server.page, requests_fail=True).connected()
        chat.page.locator("#connection-toggle").click()
        chat.page.get_by_label("Server").fill(proxy.address)
        chat.page.get_by_label("Server").press("Enter")
        expect(chat.page.get_by_role("region", name="Connection")).to_contain_text(f"No answer from {proxy.address}")
        chat.ask("hello")
        chat.ended()
        expect(chat.notice).to_contain_text(f"No answer from {proxy.address}")
        proxy.refusing = False
        chat.turn.get_by_role("button", name="Try again").click()
        expect(chat.turns).to_have_count(2)
        assert chat.ended().text() == SHORT


def test_something_else_answers(visit: Visit, server: Server) -> None:
    """A page of a proxy or a login is not taken for an answer."""
    chat = visit(server.page).connected()
    chat.instead(SMART, "<h1>Log in</h1>", content_type="text/html")
    chat.ask("hello")
    chat.ended()
    expect(chat.notice).to_contain_text("not an answer of persona_stream")


def test_every_refusal_says_what_to_do(visit: Visit, server: Server) -> None:
    """Each code has a sentence of its own, and the server's own words where they tell more."""
    chat = visit(server.page, requests_fail=True).connected()
    for status, code, words in REFUSALS:
        refusal = f'{{"success":false,"error":"field x","code":"{code}","status":"error","is_complete":true}}'
        chat.instead(SMART, f"data: {refusal}\n\n", status=status, headers=HEADERS)
        chat.ask("hello")
        chat.ended()
        expect(chat.notice).to_contain_text(words)
        if code == "invalid_request":
            expect(chat.notice).to_contain_text("field x")
