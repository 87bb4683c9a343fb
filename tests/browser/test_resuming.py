"""Reloads and broken connections: every character is shown once."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.backend import SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server, serving

RUN = "**/api/runs/*/events*"
CHUNK = (
    'id: 01run/2.4\ndata: {"success":true,"data":"Half","status":"streaming","run_id":"01run","is_complete":false}\n\n'
)


def through(proxy: CuttingProxy, visit: Visit, server: Server, *, fresh: bool = False) -> Conversation:
    """Open the page through a proxy."""
    return visit(f"{proxy.address}/#token={server.token}", requests_fail=True, fresh=fresh).connected()


def test_a_reload_while_waiting_resumes_the_run(visit: Visit, server: Server) -> None:
    """No second run is started."""
    chat = visit(server.page).connected()
    with chat.page.expect_response(SMART) as begun:
        chat.ask("story wait=3")
    run = begun.value.headers["x-run-id"]
    expect(chat.status).to_contain_text("elapsed")
    with chat.page.expect_request(RUN) as resumed:
        chat.page.reload()
    assert f"/api/runs/{run}/events" in resumed.value.url
    assert chat.ended().text() == STORY
    expect(chat.turns).to_have_count(1)


def test_a_reload_while_writing_resumes_the_answer(visit: Visit, server: Server) -> None:
    """Twice in the middle of the answer: nothing is missing, and nothing is repeated."""
    with CuttingProxy(server.port) as proxy:
        proxy.chunks = 6
        chat = through(proxy, visit, server)
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        for characters in (150, 240):
            with chat.page.expect_request(RUN) as resumed:
                chat.page.reload()
            assert int(resumed.value.headers["last-event-id"].rsplit(".", 1)[1]) >= len(held)
            longer = chat.wait_for_text(characters)
            assert longer.startswith(held)
            held = longer
        proxy.release()
        assert chat.ended().text() == STORY
        expect(chat.turns).to_have_count(1)
        chat.page.reload()
        assert chat.text() == STORY


def test_a_reload_while_waiting_for_chat_finds_the_run(visit: Visit, server: Server) -> None:
    """Although the run has no stream."""
    chat = visit(server.page).connected()
    chat.ask("story wait=2.5", endpoint="chat")
    expect(chat.status.locator(".run")).not_to_be_empty()
    with chat.page.expect_request(RUN):
        chat.page.reload()
    assert chat.ended().text() == STORY


def test_a_reload_before_the_response_repeats_the_request(visit: Visit, server: Server) -> None:
    """With the same idempotency key, so that the query runs once."""
    chat = visit(server.page).connected()
    chat.page.route(SMART, lambda route: None, times=1)
    with chat.page.expect_request(SMART) as first:
        chat.ask("hello")
    with chat.page.expect_request(SMART) as again:
        chat.page.reload()
    assert again.value.headers["idempotency-key"] == first.value.headers["idempotency-key"]
    assert chat.ended().text() == SHORT


def test_a_broken_connection_is_resumed(visit: Visit, server: Server) -> None:
    """While waiting and while writing; nothing is missing, and nothing is repeated."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server)
        proxy.chunks = 6
        chat.show_events()
        chat.ask("story wait=1.5")
        expect(chat.status).to_contain_text("elapsed")
        assert proxy.cut()
        expect(chat.page.locator("#events")).to_contain_text("connection broken")
        for characters in (60, 150, 240):
            chat.wait_for_text(characters)
            # The connection may have ended by itself, with the next one not open yet.
            while not proxy.cut():
                chat.page.wait_for_timeout(20)
        proxy.chunks = None
        assert chat.ended().text() == STORY
        expect(chat.notice).to_be_hidden()
        expect(chat.page.locator("#events")).to_contain_text("resumed from")
        chat.shoot("reconnected")


def test_an_unavailable_server_is_retried(visit: Visit, server: Server) -> None:
    """The page shows that it reconnects, and continues when the server is back."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server)
        proxy.chunks = 6
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        proxy.refusing = True
        proxy.cut()
        proxy.chunks = None
        expect(chat.status).to_contain_text("Connection lost. Reconnecting")
        expect(chat.turn).to_have_class("turn broken")
        chat.shoot("reconnecting")
        proxy.refusing = False
        assert chat.ended().text() == STORY
        assert STORY.startswith(held)


def test_exhausted_reconnects_keep_the_text_and_can_be_continued(visit: Visit, server: Server) -> None:
    """Continue reads the rest only."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server, fresh=True)
        chat.page.clock.install()
        proxy.chunks = 6
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        proxy.refusing = True
        proxy.cut()
        proxy.chunks = None
        expect(chat.status).to_contain_text("Connection lost")
        for _ in range(60):
            chat.page.clock.run_for(2_000)
            if chat.notice.is_visible():
                break
        expect(chat.notice).to_contain_text("could not be restored")
        expect(chat.notice).to_contain_text("kept above")
        assert chat.text().startswith(held)
        chat.shoot("lost-contact")
        proxy.refusing = False
        chat.page.clock.resume()
        chat.turn.get_by_role("button", name="Continue").click()
        assert chat.ended().text() == STORY
        expect(chat.turns).to_have_count(1)


def test_events_reset_the_count_of_failures(visit: Visit, server: Server) -> None:
    """A network that cuts each connection after one event is retried with growing delays, without end."""
    chat = visit(server.page, fresh=True).connected()
    chat.page.clock.install()
    tick = 'id: 01run/2.0\ndata: {"success":true,"data":"","status":"processing","run_id":"01run"}\n\n'
    last = 'id: 01run/3.0\ndata: {"success":true,"data":"","status":"complete","is_complete":true}\n\n'
    resumed = []

    def cut(route: Route) -> None:
        resumed.append(route.request.url)
        route.fulfill(content_type="text/event-stream", body=last if len(resumed) == 15 else tick)

    chat.instead(SMART, tick)
    chat.page.route(RUN, cut)
    chat.ask("hello")
    rounds = 0
    while not chat.summary.is_visible():
        chat.page.clock.run_for(2_000)
        rounds += 1
    expect(chat.notice).to_be_hidden()
    assert len(resumed) == 15
    assert rounds > 15  # more than 30 seconds of the page's clock


def test_an_end_without_a_terminal_event_is_a_broken_connection(visit: Visit, server: Server) -> None:
    """The stream was handed over or cut off: the page resumes."""
    chat = visit(server.page).connected()
    rest = (
        'id: 01run/2.12\ndata: {"success":true,"data":" and half","status":"streaming","is_complete":false}\n\n'
        'id: 01run/3.0\ndata: {"success":true,"data":"","status":"complete","is_complete":true}\n\n'
    )
    requests = []

    def resume(route: Route) -> None:
        requests.append(route.request.headers)
        route.fulfill(content_type="text/event-stream", body=rest)

    chat.instead(SMART, f"{CHUNK}: bye\n\n")
    chat.page.route(RUN, resume)
    chat.ask("hello")
    assert chat.ended().text() == "Half and half"
    assert [headers["last-event-id"] for headers in requests] == ["01run/2.4"]
    assert requests[0]["x-persona-resume"] == "1"
    assert requests[0]["authorization"] == f"Bearer {server.token}"


def test_a_run_that_is_gone_is_not_started_again(visit: Visit, server: Server) -> None:
    """The page keeps the text and shows a message."""
    chat = visit(server.page, requests_fail=True).connected()
    chat.instead(SMART, CHUNK)
    for status, code, words in ((404, "not_found", "has no such run"), (410, "gone", "no longer keeps")):
        body = f'data: {{"success":false,"error":"x","code":"{code}","status":"error","is_complete":true}}\n\n'
        chat.instead(RUN, body, status=status)
        chat.ask("hello")
        chat.ended()
        assert chat.text() == "Half"
        expect(chat.notice).to_contain_text(words)
        expect(chat.notice).to_contain_text("kept above")


def test_after_204_the_outcome_is_fetched(visit: Visit, server: Server) -> None:
    """The stream has nothing more."""
    chat = visit(server.page).connected()
    shown = '{"success":true,"status":"complete","elapsed_time":2.5,"usage":null,"error":null,"code":null}'

    chat.instead(SMART, CHUNK)
    chat.instead("**/api/runs/01run", shown, content_type="application/json")
    chat.instead(RUN, status=204)
    chat.ask("hello")
    chat.ended()
    assert chat.text() == "Half"
    expect(chat.notice).to_be_hidden()
    expect(chat.summary).to_contain_text("2.5 s")


def test_a_run_lost_in_a_restart_is_reported(visit: Visit, tmp_path: Path) -> None:
    """The next process does not have it."""
    flags = ("--backend", "tests.browser.backend:answer")
    with serving(tmp_path, *flags) as first:
        chat = visit(first.page, requests_fail=True).connected()
        chat.ask("story wait=60")
        expect(chat.status).to_contain_text("elapsed")
        chat.page.wait_for_function("() => state.turns[0].cursor")
        first.crash()
    with serving(tmp_path, *flags, port=first.port):
        chat.ended()
    expect(chat.notice).to_contain_text("has no such run")


def test_a_resumed_run_can_be_stopped(visit: Visit, server: Server) -> None:
    """After a reload."""
    chat = visit(server.page).connected()
    chat.ask("story wait=30")
    expect(chat.status).to_contain_text("elapsed")
    chat.page.reload()
    expect(chat.send).to_have_accessible_name("Stop")
    chat.send.click()
    chat.ended()
    expect(chat.notice).to_contain_text("Stopped")
