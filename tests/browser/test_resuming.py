"""A run outlives its connection and its page: every character is shown once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Route, expect

from tests.browser.backend import SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server, serving

RUN = "**/api/runs/*/events*"
PIECE = (
    'id: 01run/2.4\ndata: {"success":true,"data":"Half","status":"streaming","run_id":"01run","is_complete":false}\n\n'
)


def through(proxy: CuttingProxy, visit: Visit, server: Server, *, fresh: bool = False) -> Conversation:
    """Open the page through a proxy."""
    return visit(f"{proxy.address}/#token={server.token}", requests_fail=True, fresh=fresh).connected()


def test_reload_while_waiting(visit: Visit, server: Server) -> None:
    """The running run goes on after a reload: the same one, not another."""
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


def test_reload_while_writing(visit: Visit, server: Server) -> None:
    """Reloaded in the middle of the answer, twice, the page goes on where it was, and doubles nothing."""
    with CuttingProxy(server.port) as proxy:
        proxy.pieces = 6
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


def test_reload_while_waiting_for_chat(visit: Visit, server: Server) -> None:
    """Also a run without a stream is found again."""
    chat = visit(server.page).connected()
    chat.ask("story wait=2.5", endpoint="chat")
    expect(chat.status.locator(".run")).not_to_be_empty()
    with chat.page.expect_request(RUN):
        chat.page.reload()
    assert chat.ended().text() == STORY


def test_reload_before_the_server_has_answered(visit: Visit, server: Server) -> None:
    """A query that may or may not have arrived is sent again under the same key, and runs once."""
    chat = visit(server.page).connected()
    chat.page.route(SMART, lambda route: None, times=1)
    with chat.page.expect_request(SMART) as first:
        chat.ask("hello")
    with chat.page.expect_request(SMART) as again:
        chat.page.reload()
    assert again.value.headers["idempotency-key"] == first.value.headers["idempotency-key"]
    assert chat.ended().text() == SHORT


def test_cut_while_waiting_and_while_writing(visit: Visit, server: Server) -> None:
    """A connection that breaks is made again by itself, and the answer has neither gap nor double."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server)
        proxy.pieces = 6
        chat.show_events()
        chat.ask("story wait=1.5")
        expect(chat.status).to_contain_text("elapsed")
        assert proxy.cut()
        expect(chat.page.locator("#events")).to_contain_text("connection broken")
        for characters in (60, 150, 240):
            chat.wait_for_text(characters)
            # The piece before may have been the last of a connection, and the next one is being made.
            while not proxy.cut():
                chat.page.wait_for_timeout(20)
        proxy.pieces = None
        assert chat.ended().text() == STORY
        expect(chat.notice).to_be_hidden()
        expect(chat.page.locator("#events")).to_contain_text("resumed from")
        chat.shoot("reconnected")


def test_the_server_is_away_for_a_while(visit: Visit, server: Server) -> None:
    """While nobody answers, the page says that it tries; when somebody does again, it goes on."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server)
        proxy.pieces = 6
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        proxy.refusing = True
        proxy.cut()
        proxy.pieces = None
        expect(chat.status).to_contain_text("Connection lost. Reconnecting")
        expect(chat.turn).to_have_class("turn broken")
        chat.shoot("reconnecting")
        proxy.refusing = False
        assert chat.ended().text() == STORY
        assert STORY.startswith(held)


def test_no_way_back_keeps_the_text_and_can_be_continued(visit: Visit, server: Server) -> None:
    """When every attempt has failed, the page says so and keeps the text; continuing reads just the rest."""
    with CuttingProxy(server.port) as proxy:
        chat = through(proxy, visit, server, fresh=True)
        chat.page.clock.install()
        proxy.pieces = 6
        chat.ask("story wait=0.1")
        held = chat.wait_for_text(60)
        proxy.refusing = True
        proxy.cut()
        proxy.pieces = None
        expect(chat.status).to_contain_text("Connection lost")
        for _ in range(60):
            chat.page.clock.run_for(2_000)
            if chat.notice.is_visible():
                break
        expect(chat.notice).to_contain_text("could not be brought back")
        expect(chat.notice).to_contain_text("kept above")
        assert chat.text().startswith(held)
        chat.shoot("lost-contact")
        proxy.refusing = False
        chat.page.clock.resume()
        chat.turn.get_by_role("button", name="Continue").click()
        assert chat.ended().text() == STORY
        expect(chat.turns).to_have_count(1)


def test_who_hears_from_the_server_does_not_give_up(visit: Visit, server: Server) -> None:
    """A network that lets one event through and then cuts, again and again, is outlasted, with growing pauses."""
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
    assert rounds > 15  # more than 30 seconds of the page's clock: nobody was hammered


def test_an_end_without_a_last_event_is_a_break(visit: Visit, server: Server) -> None:
    """A stream that closes properly, but before its terminal event, was handed over or cut off: the page resumes."""
    chat = visit(server.page).connected()
    rest = (
        'id: 01run/2.12\ndata: {"success":true,"data":" and half","status":"streaming","is_complete":false}\n\n'
        'id: 01run/3.0\ndata: {"success":true,"data":"","status":"complete","is_complete":true}\n\n'
    )
    asked = []

    def go_on(route: Route) -> None:
        asked.append(route.request.headers)
        route.fulfill(content_type="text/event-stream", body=rest)

    chat.instead(SMART, f"{PIECE}: bye\n\n")
    chat.page.route(RUN, go_on)
    chat.ask("hello")
    assert chat.ended().text() == "Half and half"
    assert [headers["last-event-id"] for headers in asked] == ["01run/2.4"]
    assert asked[0]["x-persona-resume"] == "1"
    assert asked[0]["authorization"] == f"Bearer {server.token}"


def test_a_run_that_is_gone_is_called_gone(visit: Visit, server: Server) -> None:
    """When the run cannot be read any more, nothing is started behind the reader's back."""
    chat = visit(server.page, requests_fail=True).connected()
    chat.instead(SMART, PIECE)
    for status, code, words in ((404, "not_found", "does not know this run"), (410, "gone", "no longer keeps")):
        body = f'data: {{"success":false,"error":"x","code":"{code}","status":"error","is_complete":true}}\n\n'
        chat.instead(RUN, body, status=status)
        chat.ask("hello")
        chat.ended()
        assert chat.text() == "Half"
        expect(chat.notice).to_contain_text(words)
        expect(chat.notice).to_contain_text("kept above")


def test_204_means_that_all_is_read(visit: Visit, server: Server) -> None:
    """A resumption that finds nothing more asks how the run ended."""
    chat = visit(server.page).connected()
    shown = '{"success":true,"status":"complete","elapsed_time":2.5,"usage":null,"error":null,"code":null}'

    chat.instead(SMART, PIECE)
    chat.instead("**/api/runs/01run", shown, content_type="application/json")
    chat.instead(RUN, status=204)
    chat.ask("hello")
    chat.ended()
    assert chat.text() == "Half"
    expect(chat.notice).to_be_hidden()
    expect(chat.summary).to_contain_text("2.5 s")


def test_a_server_that_was_restarted(visit: Visit, tmp_path: Path) -> None:
    """A run that died with its server is not known to the next one, and the page says so."""
    flags = ("--backend", "tests.browser.backend:answer")
    with serving(tmp_path, *flags) as first:
        chat = visit(first.page, requests_fail=True).connected()
        chat.ask("story wait=60")
        expect(chat.status).to_contain_text("elapsed")
        chat.page.wait_for_function("() => state.turns[0].cursor")
        first.crash()
    with serving(tmp_path, *flags, port=first.port):
        chat.ended()
    expect(chat.notice).to_contain_text("does not know this run any more")


def test_stop_reaches_a_run_that_was_picked_up(visit: Visit, server: Server) -> None:
    """After a reload the run can still be stopped."""
    chat = visit(server.page).connected()
    chat.ask("story wait=30")
    expect(chat.status).to_contain_text("elapsed")
    chat.page.reload()
    expect(chat.send).to_have_accessible_name("Stop")
    chat.send.click()
    chat.ended()
    expect(chat.notice).to_contain_text("Stopped")
