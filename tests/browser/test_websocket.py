"""The page on a WebSocket: the same answer, resumed after broken connections and restarts."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.backend import FAILURE, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server, serving
from tests.ports import free_port
from tests.redis_server import RedisServer, needs_redis


def messages_of(chat: Conversation) -> list[dict[str, object]]:
    """Return the list to which every message that the page sends is added."""
    sent: list[dict[str, object]] = []

    def on_websocket(socket: WebSocket) -> None:
        socket.on("framesent", lambda payload: sent.append(json.loads(payload)))

    chat.page.on("websocket", on_websocket)
    return sent


def assert_resumed(sent: list[dict[str, object]]) -> None:
    """Assert that one run was started, and resumed; a start whose reply was lost is repeated with its key."""
    keys = [message["idempotency_key"] for message in sent if message["type"] == "start"]
    subscriptions = len(sent) - len(keys)
    assert subscriptions
    assert len(set(keys)) == 1
    assert [message["type"] for message in sent] == ["start"] * len(keys) + ["subscribe"] * subscriptions


def test_an_answer_arrives_over_a_websocket(visit: Visit, server: Server) -> None:
    """To the character, with its events; a failure too, and a run can be stopped. The style is remembered."""
    chat = visit(server.page).connected()
    sent = messages_of(chat)
    chat.show_events()
    chat.ask("story wait=0.3", endpoint="websocket")
    assert chat.ended().text() == STORY
    expect(chat.turn.locator(".style")).to_have_text("Smart, over WebSocket")
    expect(chat.page.locator("#events")).to_contain_text("WebSocket connection opened")
    chat.ask("fail")
    chat.ended()
    expect(chat.notice).to_contain_text(FAILURE)
    chat.page.reload()
    chat.connected()
    chat.ask("hello wait=60")
    expect(chat.status).to_contain_text("elapsed")
    chat.send.click()
    chat.ended()
    expect(chat.notice).to_contain_text("Stopped")
    assert [message["type"] for message in sent] == ["start", "start", "start"]


def test_a_broken_websocket_is_resumed(visit: Visit, server: Server) -> None:
    """While waiting, while writing, and after a reload: nothing is missing, and nothing is repeated."""
    with CuttingProxy(server.port) as proxy:
        chat = visit(f"{proxy.address}/#token={server.token}", requests_fail=True).connected()
        sent = messages_of(chat)
        proxy.chunks = 6
        chat.ask("story wait=1", endpoint="websocket")
        expect(chat.status).to_contain_text("elapsed")
        assert proxy.cut()
        chat.wait_for_text(60)
        while not proxy.cut():
            chat.page.wait_for_timeout(20)
        held = chat.wait_for_text(150)
        chat.page.reload()
        longer = chat.wait_for_text(len(held) + 60)
        assert longer.startswith(held)
        proxy.release()
        assert chat.ended().text() == STORY
        expect(chat.notice).to_be_hidden()
        assert_resumed(sent)
        assert str(sent[-1]["last_event_id"]).rsplit(".", 1)[1] >= "1"


@pytest.mark.heavy
@needs_redis
def test_a_websocket_survives_a_restart_of_the_server(visit: Visit, tmp_path: Path) -> None:
    """The new process, at the same address and with the same Redis, continues the run of the old one."""
    port = free_port()
    with closing(RedisServer()) as redis:
        flags = ("--backend=tests.browser.backend:answer", f"--redis-url={redis.url}")
        with serving(tmp_path, *flags, port=port) as old:
            chat = visit(old.page, fresh=True, requests_fail=True).connected()
            sent = messages_of(chat)
            chat.ask("story wait=4", endpoint="websocket")
            expect(chat.status).to_contain_text("elapsed")
            old.process.terminate()
            expect(chat.status).to_contain_text("Connection lost. Reconnecting")
            with serving(tmp_path, *flags, port=port):
                assert chat.ended().text() == STORY
                expect(chat.notice).to_be_hidden()
                assert_resumed(sent)


def test_without_websockets_the_page_uses_a_stream(visit: Visit, server: Server) -> None:
    """Where a proxy or a WSGI server cannot open one."""
    chat = visit(server.page, requests_fail=True).connected()
    # An address without a server: Playwright cannot refuse a handshake.
    unreachable = "class extends WebSocket { constructor(url, names) { super('ws://127.0.0.1:9/', names); } }"
    chat.page.evaluate(f"() => {{ WebSocket = {unreachable}; }}")
    with chat.page.expect_request(SMART) as asked:
        chat.ask("story wait=0.2", endpoint="websocket")
    assert urlsplit(asked.value.url).port == server.port
    assert chat.ended().text() == STORY
