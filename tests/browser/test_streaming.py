"""A question and its answer on the page."""

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
    """Record every text that an element of the turn shows."""
    chat.page.evaluate(
        """selector => {
          window.states = [];
          const record = () => states.push(document.querySelector(selector)?.textContent ?? "");
          const options = {subtree: true, childList: true, characterData: true};
          new MutationObserver(record).observe(document.getElementById('turns'), options);
        }""",
        selector,
    )


def watched(chat: Conversation) -> list[str]:
    """Return the distinct texts that were shown, in order."""
    return [state for state in dict.fromkeys(chat.page.evaluate("states")) if state]


def test_every_endpoint_shows_the_exact_answer(visit: Visit, server: Server) -> None:
    """To the character."""
    chat = visit(server.page).connected()
    for endpoint in ("smart", "advanced", "basic", "chat"):
        chat.ask("story wait=0.3", endpoint=endpoint)
        assert chat.ended().text() == STORY
        expect(chat.notice).to_be_hidden()
        expect(chat.summary).to_contain_text(f"{len(STORY):,} characters")


def test_progress_is_shown_while_the_backend_works(visit: Visit, server: Server) -> None:
    """Status, percentage, elapsed and remaining time; the clock advances between events."""
    chat = visit(server.page).connected()
    watch(chat, ".elapsed")
    chat.ask("report story wait=7")
    bar = chat.turn.get_by_role("progressbar")
    expect(chat.status).to_contain_text("Reading page 3 of 8")
    expect(bar).to_have_attribute("aria-valuenow", re.compile("^(3[7-9]|[4-9].)$"))
    expect(chat.status.locator(".percent")).to_have_text(re.compile("^(3[7-9]|[4-9].)%$"))
    expect(chat.status.locator(".remaining")).to_have_text(re.compile("about .* left"))
    expect(chat.page).to_have_title(re.compile(r"^(3[7-9]|[4-9].)% · persona_stream$"))
    expect(chat.page.locator("#announce")).not_to_be_empty()
    chat.wait_for_text()
    expect(chat.status).to_contain_text("Writing the answer")
    chat.ended()
    ticks = [state for state in watched(chat) if state.endswith(" s elapsed")]
    assert len(ticks) > chat.page.locator("#events li b", has_text=re.compile("^processing$")).count()
    expect(chat.page).to_have_title("✓ persona_stream")
    expect(chat.page.locator("#announce")).to_have_text(f"Answer complete, {len(STORY):,} characters.")


def test_the_percentage_never_falls_and_the_times_are_those_waited(visit: Visit, server: Server) -> None:
    """Also when the text begins; the total is that of the wait and the delivery."""
    chat = visit(server.page).connected()
    watch(chat, ".percent")
    chat.ask("report story wait=3")
    chat.ended()
    percents = [int(state[:-1]) for state in watched(chat) if state.endswith("%")]
    assert percents == sorted(percents)
    assert percents[-1] >= 90
    expect(chat.summary).to_contain_text(re.compile(r"^Answered after 3\.\d s, delivered in \d\.\d s"))


def test_the_answer_grows(visit: Visit, server: Server) -> None:
    """Every state of the text is a prefix of the answer."""
    chat = visit(server.page).connected()
    watch(chat, ".answer")
    chat.ask("story wait=0.2")
    assert chat.ended().text() == STORY
    states = watched(chat)
    assert len(states) > 1
    # Without white space: paragraphs are elements.
    texts = ["".join(state.split()) for state in (*states, STORY)]
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(texts))


def test_an_answer_is_never_parsed_as_markup(visit: Visit, server: Server) -> None:
    """Tags are shown as text, and no script runs."""
    chat = visit(server.page).connected()
    for endpoint in ("smart", "chat"):
        chat.ask("hostile", endpoint=endpoint)
        assert chat.ended().text() == HOSTILE
        assert chat.answer.locator(":not(p, code)").count() == 0
    chat.shoot("hostile")
    expect(chat.page).to_have_title("✓ persona_stream")


def test_the_options_are_sent(visit: Visit, server: Server) -> None:
    """Prompt, mode, chunking and language in the body, and the header that promises to resume."""
    chat = visit(server.page).connected()
    page = chat.page
    page.locator("#options-toggle").click()
    page.get_by_label("Additional prompt").fill("请用中文回答")
    page.get_by_role("radio", name="Replace").check()
    page.get_by_label("Chunking").select_option("sentences")
    page.get_by_label("Language").select_option("en")
    with page.expect_request("**/api/stream_chat") as sent:
        chat.ask("hello", endpoint="basic")
    body = json.loads(sent.value.post_data or "")
    assert {name: body[name] for name in body if name != "conversation_id"} == {
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


def test_questions_share_a_conversation_until_a_new_chat(visit: Visit, server: Server) -> None:
    """The new chat starts another one."""
    chat = visit(server.page).connected()
    conversations = []
    for is_new in (False, False, True):
        if is_new:
            chat.page.get_by_role("button", name="New chat").click()
            expect(chat.turns).to_have_count(0)
        with chat.page.expect_request(SMART) as sent:
            chat.ask("hello")
        conversations.append(json.loads(sent.value.post_data or "")["conversation_id"])
        chat.ended()
    first, second, third = conversations
    assert first == second != third


def test_enter_sends_unless_shifted_or_composing(visit: Visit, server: Server) -> None:
    """Shift+Enter starts a line; Enter in an input method selects a candidate."""
    chat = visit(server.page).connected()
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
    """The copy is exact, and the same question can be sent again."""
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
    """Every event has its time; the oldest are dropped when there are too many."""
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


def test_bytes_may_arrive_one_at_a_time(visit: Visit, server: Server) -> None:
    """Neither lines nor multi-byte characters depend on packet boundaries."""
    with CuttingProxy(server.port, slice_bytes=1) as proxy:
        chat = visit(f"{server.address}/#token={server.token}").connected()
        chat.page.locator("#connection-toggle").click()
        chat.page.get_by_label("Server").fill(proxy.address)
        chat.page.get_by_role("button", name="Connect", exact=True).click()
        chat.connected()
        chat.ask("story wait=0.1")
        assert chat.ended().text() == STORY


def test_events_are_parsed_as_in_the_standard(visit: Visit, server: Server) -> None:
    """Any newline ends a line, data lines are joined, comments and unknown fields are ignored, and U+2028, U+0085 and a
    form feed are text."""
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
