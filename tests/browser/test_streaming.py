"""A question is asked on the page, and its answer comes."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from playwright.sync_api import expect

from tests.browser.backend import HOSTILE, STORY
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server


def watch(chat: Conversation, selector: str) -> None:
    """Note every text that a part of the turn shows on its way."""
    chat.page.evaluate(
        """selector => {
          window.states = [];
          const look = () => states.push(document.querySelector(selector)?.textContent ?? "");
          const options = {subtree: true, childList: true, characterData: true};
          new MutationObserver(look).observe(document.getElementById('turns'), options);
        }""",
        selector,
    )


def watched(chat: Conversation) -> list[str]:
    """Give the different texts that were shown, in their order."""
    return [state for state in dict.fromkeys(chat.page.evaluate("states")) if state]


def test_every_endpoint_answers_to_the_character(visit: Visit, server: Server) -> None:
    """Whatever the endpoint, what is shown in the end is the answer."""
    chat = visit(server.page).connected()
    for endpoint in ("smart", "advanced", "basic", "chat"):
        chat.ask("story wait=0.3", endpoint=endpoint)
        assert chat.ended().text() == STORY
        expect(chat.notice).to_be_hidden()
        expect(chat.summary).to_contain_text(f"{len(STORY):,} characters")


def test_progress_is_shown_while_it_happens(visit: Visit, server: Server) -> None:
    """Status text, percentage, elapsed and remaining time are there while the backend works, and tick by themselves."""
    chat = visit(server.page).connected()
    watch(chat, ".elapsed")
    chat.ask("report story wait=7")
    bar = chat.turn.get_by_role("progressbar")
    expect(chat.status).to_contain_text("Reading page 3 of 8")
    expect(bar).to_have_attribute("aria-valuenow", "37")
    expect(chat.status.locator(".percent")).to_have_text("37%")
    expect(chat.status.locator(".remaining")).to_have_text(re.compile("about .* left|any moment now"))
    expect(chat.page).to_have_title("37% · persona_stream")
    expect(chat.page.locator("#announce")).not_to_be_empty()
    chat.wait_for_text()
    expect(chat.status).to_contain_text("Writing the answer")
    chat.ended()
    ticks = [state for state in watched(chat) if state.endswith(" s elapsed")]
    assert len(ticks) > chat.page.locator("#events li b", has_text=re.compile("^processing$")).count()
    expect(chat.page).to_have_title("✓ persona_stream")
    expect(chat.page.locator("#announce")).to_have_text(f"Answer complete, {len(STORY):,} characters.")


def test_the_answer_grows(visit: Visit, server: Server) -> None:
    """Text is shown as it comes: every state on the way is a beginning of the answer."""
    chat = visit(server.page).connected()
    watch(chat, ".answer")
    chat.ask("story wait=0.2")
    assert chat.ended().text() == STORY
    states = watched(chat)
    assert len(states) > 1
    assert all(longer.startswith(shorter) for shorter, longer in pairwise([*states, STORY]))


def test_an_answer_is_text_and_never_markup(visit: Visit, server: Server) -> None:
    """Tags of an answer are shown as they are written, and nothing in them runs."""
    chat = visit(server.page).connected()
    for endpoint in ("smart", "chat"):
        chat.ask("hostile", endpoint=endpoint)
        assert chat.ended().text() == HOSTILE
        assert chat.answer.locator("*").count() == 0
    chat.shoot("hostile")
    expect(chat.page).to_have_title("✓ persona_stream")


def test_the_options_are_sent(visit: Visit, server: Server) -> None:
    """Prompt, mode, chunking and language go into the request; so does the promise to come back by oneself."""
    chat = visit(server.page).connected()
    page = chat.page
    page.locator("#options-toggle").click()
    page.get_by_label("Additional prompt").fill("请用中文回答")
    page.get_by_role("radio", name="Replace it").check()
    page.get_by_label("Chunking").select_option("sentences")
    page.get_by_label("Language").select_option("en")
    with page.expect_request("**/api/stream_chat") as sent:
        chat.ask("hello", endpoint="basic")
    body = json.loads(sent.value.post_data or "")
    assert {name: body[name] for name in body if name != "conversation_id"} == {
        "username": "Ada",
        "message": "hello",
        "prompt": "请用中文回答",
        "prompt_mode": "replace",
        "chunking": "sentences",
        "locale": "en",
    }
    headers = sent.value.all_headers()
    assert headers["authorization"] == f"Bearer {server.token}"
    assert headers["x-persona-resume"] == "1"
    assert headers["idempotency-key"]
    chat.ended()


def test_one_conversation_until_a_new_one(visit: Visit, server: Server) -> None:
    """Questions that follow each other share a conversation, and a new chat begins another."""
    chat = visit(server.page).connected()
    conversations = []
    for start_anew in (False, False, True):
        if start_anew:
            chat.page.get_by_role("button", name="New chat").click()
            expect(chat.turns).to_have_count(0)
        with chat.page.expect_request(SMART) as sent:
            chat.ask("hello")
        conversations.append(json.loads(sent.value.post_data or "")["conversation_id"])
        chat.ended()
    first, second, third = conversations
    assert first == second != third


def test_keys_of_the_message_field(visit: Visit, server: Server) -> None:
    """Shift+Enter makes a line, Enter that ends a composition chooses a word, and only a bare Enter sends."""
    chat = visit(server.page).connected()
    chat.page.locator("#username").fill("Ada")
    chat.message.fill("one")
    chat.message.press("Shift+Enter")
    chat.message.press_sequentially("two")
    chat.message.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    chat.message.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    expect(chat.message).to_have_value("one\ntwo")
    expect(chat.turns).to_have_count(0)
    chat.message.press("Enter")
    expect(chat.turn.locator(".question")).to_have_text("one\ntwo")
    expect(chat.message).to_have_value("")
    chat.ended()


def test_copy_and_ask_again(visit: Visit, server: Server) -> None:
    """The answer can be copied to the character, and the same question asked once more."""
    chat = visit(server.page, permissions=["clipboard-read", "clipboard-write"]).connected()
    chat.ask("story wait=0.1", endpoint="chat")
    chat.ended()
    chat.turn.get_by_role("button", name="Copy").click()
    expect(chat.turn.get_by_role("button", name="Copied")).to_be_visible()
    assert chat.page.evaluate("navigator.clipboard.readText()") == STORY
    chat.turn.get_by_role("button", name="Ask again").click()
    expect(chat.turns).to_have_count(2)
    assert chat.ended().text() == STORY


def test_raw_events_are_listed_and_bounded(visit: Visit, server: Server) -> None:
    """The pane shows every event with its time; the oldest make room when there are too many."""
    chat = visit(server.page).connected()
    records = chat.show_events()
    chat.ask("hello")
    chat.ended()
    expect(records.first).to_contain_text("connection opened")
    statuses = chat.page.locator("#events li.event b").all_text_contents()
    assert statuses[:2] == ["initializing", "processing"]
    assert statuses[-2:] == ["streaming", "complete"]
    assert all(time.startswith("+") for time in chat.page.locator("#events time").all_text_contents())

    tick = 'data: {"success":true,"data":"","status":"processing","progress":7}\n\n'
    last = 'data: {"success":true,"data":"","status":"complete","is_complete":true}\n\n'
    chat.instead(SMART, tick * 500 + last)
    chat.ask("flood")
    chat.ended()
    expect(records).to_have_count(300)


def test_bytes_may_come_one_at_a_time(visit: Visit, server: Server) -> None:
    """Nothing depends on where a network cuts: not lines, not characters of several bytes."""
    with CuttingProxy(server.port, slice_bytes=1) as proxy:
        chat = visit(f"{server.address}/#token={server.token}").connected()
        chat.page.locator("#connection-toggle").click()
        chat.page.get_by_label("Server").fill(proxy.address)
        chat.page.get_by_role("button", name="Connect", exact=True).click()
        chat.connected()
        chat.ask("story wait=0.1")
        assert chat.ended().text() == STORY


def test_events_are_parsed_as_the_standard_says(visit: Visit, server: Server) -> None:
    """Any newline ends a line, data of several lines are joined, comments and unknown fields pass by, and U+2028,
    U+0085 and a form feed are text."""
    lines = [
        ": a comment",
        "retry: 1000",
        "event: message",
        'data: {"success":true,"data":"a\u2028b\u0085c\x0cd",',
        "data",
        'data:"status":"streaming","is_complete":false}',
        "",
        "",
        'data: {"success":true,"data":"","status":"complete","is_complete":true}',
        "",
        "",
    ]
    chat = visit(server.page).connected()
    for newline in ("\n", "\r\n", "\r"):
        chat.instead(SMART, newline.join(lines).replace("\x0c", "\\f"))
        chat.ask("anything")
        assert chat.ended().text() == "a\u2028b\u0085c\x0cd"
