"""The dashboard in a real browser: each section, in both languages, with mouse and keyboard."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from persona_stream.db.engine import database_url, open_engine
from tests.browser.backend import HOSTILE, STORY
from tests.browser.conftest import Visit
from tests.browser.dashboard import ADMIN, Dashboard
from tests.browser.page import SCREENSHOTS
from tests.browser.serving import Server, serving
from tests.db.factories import fill
from tests.server_process import ROOT, token

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2
}  # fmt: skip
TABS = ("Question and answer", "Request", "Backend", "HTTP", "Timing", "Cost")
IDS = {"Backend": "response"}
FILES = ROOT / "persona_stream/pages/dashboard"

Open = Callable[..., Dashboard]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose log holds 400 runs of one day."""
    folder: Path = tmp_path_factory.mktemp("busy")
    url = f"sqlite:///{folder / 'log.sqlite'}"
    engine = open_engine(database_url(url, folder), 1)
    fill(engine, 400, time.time() - 600, 80_000.0)
    engine.dispose()
    with serving(folder, "--backend", "tests.browser.backend:answer", f"--database-url={url}") as server:
        yield server


@pytest.fixture
def dashboard(visit: Visit, busy: Server) -> Iterator[Open]:
    """Return a function that opens the dashboard in a new browser context."""
    opened: list[Dashboard] = []

    def open_dashboard(**more: Any) -> Dashboard:
        page = visit(f"{busy.address}/dashboard", **more).page
        opened.append(Dashboard(page, busy.address))
        return opened[-1]

    yield open_dashboard
    for each in opened:
        each.page.context.clear_cookies()


def squeezed(text: str | None) -> str:
    """Return a text without white space, which differs between Markdown and its rendering."""
    return "".join((text or "").split())


def test_logging_in_and_out(dashboard: Open) -> None:
    """A token without the scope and an invalid one get different errors; a session survives a reload until logout."""
    used = dashboard(requests_fail=True)
    field, page = used.page.get_by_label("Token"), used.page
    for tried, said in ((token("alice"), "does not have the scope"), ("nonsense", "invalid")):
        field.fill(tried)
        field.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(said)
    field.fill(ADMIN)
    page.get_by_role("button", name="Log in").click()
    expect(used.rows.first).to_be_visible()
    assert page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    page.reload()
    expect(used.rows.first).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(field).to_be_visible()
    page.reload()
    expect(field).to_be_visible()


def test_filters_and_search(dashboard: Open) -> None:
    """Each filter narrows the list, is part of the address, and survives a reload; one button clears all."""
    used = dashboard().logged_in()
    page, pills = used.page, used.rows.locator(".pill")
    expect(used.rows).to_have_count(50)
    page.get_by_role("button", name="Failed").click()
    expect(page.get_by_role("button", name="Failed")).to_be_focused()
    expect(pills.filter(has_text="Complete")).to_have_count(0)
    assert set(pills.all_inner_texts()) <= {"Error", "Timeout"}
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_label("User or persona").fill("LuXun")
    expect(used.rows.locator(".c-username .first", has_text=re.compile("^(?!LuXun)"))).to_have_count(0)
    page.get_by_label("Endpoint").select_option("/v1/messages")
    expect(used.rows.locator(".c-endpoint .first", has_text=re.compile("^(?!/v1/messages)"))).to_have_count(0)
    assert "user=LuXun" in page.url
    assert "endpoint=%2Fv1%2Fmessages" in page.url
    page.reload()
    expect(page.get_by_label("User or persona")).to_have_value("LuXun")
    expect(used.rows.locator(".c-username .first", has_text=re.compile("^(?!LuXun)"))).to_have_count(0)
    page.get_by_role("button", name="Clear filters").click()
    expect(used.rows).to_have_count(50)
    page.get_by_label("Search").fill("(123)")
    expect(used.rows).to_have_count(1)
    expect(page.get_by_label("Search")).to_be_focused()
    page.get_by_label("Search").fill("nothing is like this")
    expect(page.locator(".empty")).to_have_text("No runs match these filters.")
    page.get_by_label("Search").fill("")
    expect(used.rows).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(used.rows).to_have_count(100)
    names = [row.get_attribute("data-run") for row in used.rows.all()]
    assert names == sorted(names, reverse=True)
    assert len(set(names)) == 100


def test_the_tabs_of_a_run_by_keyboard(dashboard: Open) -> None:
    """Enter opens a run from the list, arrow keys move between its tabs, and each tab has its content."""
    used = dashboard().logged_in()
    page, panel = used.page, used.panel
    used.go("#/runs?status=complete")
    used.rows.first.locator("a").focus()
    page.keyboard.press("Enter")
    expect(used.tab(TABS[0])).to_have_attribute("aria-selected", "true")
    expect(panel.get_by_role("heading", name="Answer")).to_be_visible()
    used.tab(TABS[0]).focus()
    texts = ("Request body", "Provider calls", "Request headers", "Reading page 2 of 4", "Output tokens")
    for name, text in zip(TABS[1:], texts, strict=True):
        page.keyboard.press("ArrowRight")
        expect(used.tab(name)).to_be_focused()
        expect(used.tab(name)).to_have_attribute("aria-selected", "true")
        expect(panel).to_contain_text(text)
        expect(panel).to_have_attribute("aria-labelledby", f"tab-{IDS.get(name, name.lower())}")
    page.keyboard.press("Home")
    expect(used.tab(TABS[0])).to_be_focused()
    used.tab("Timing").click()
    expect(panel.get_by_role("img", name=re.compile("Processing: [0-9.]+ s"))).to_be_visible()
    expect(panel.locator(".tick")).to_have_count(3)
    page.reload()
    expect(used.tab("Timing")).to_have_attribute("aria-selected", "true")
    used.tab("HTTP").click()
    expect(panel.get_by_role("row", name="Authorization ***")).to_be_visible()
    page.get_by_role("link", name="All runs").click()
    expect(used.rows.first).to_be_visible()


def test_a_run_in_progress(dashboard: Open, busy: Server) -> None:
    """It appears in the list without a reload, its text grows, and at its end the page is complete."""
    used = dashboard().logged_in()
    page = used.page
    body = {"username": "Ada", "message": "story report wait=6", "locale": "en"}
    with busy.post("/api/stream_chat_smart", body, stream=True) as began:
        row = page.locator(f'tr[data-run="{began.headers["X-Run-Id"]}"]')
        expect(row).to_contain_text("In progress")
        row.locator("a").click()
        expect(page.locator(".live-words")).to_have_text("Reading page 3 of 8")
        expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute(
            "aria-valuenow", re.compile("^(3[7-9]|[4-9].)$")
        )
        expect(page.locator("#answer")).to_contain_text("Paragraph 1")
        growing = squeezed(page.locator("#answer").text_content())
        expect(page.locator(".run-title .pill")).to_have_text("Complete", timeout=30_000)
        assert squeezed(STORY).startswith(growing)
        assert len(growing) < len(squeezed(STORY))
        page.get_by_role("button", name="Raw").click()
        expect(page.locator("#answer")).to_have_text(STORY)
        assert b'"status":"complete"' in began.content
    used.tab("Timing").click()
    expect(used.panel.get_by_role("row", name="Report Reading page 3 of 8").first).to_be_visible()


def test_a_run_that_waits_for_the_user(dashboard: Open, busy: Server) -> None:
    """The list and its page have the question; afterwards the steps have the answer."""
    used = dashboard().logged_in()
    page = used.page
    body = {"username": "Ada", "message": "choose", "locale": "en"}
    with busy.post("/api/stream_chat_smart", body, stream=True) as began:
        run_id = began.headers["X-Run-Id"]
        row = page.locator(f'tr[data-run="{run_id}"]')
        expect(row).to_contain_text("Asking")
        expect(row).to_contain_text("Asks: Which file?")
        page.screenshot(path=SCREENSHOTS / "dashboard-question-list.png")
        row.locator("a").click()
        expect(page.locator(".live-words")).to_have_text("Asks: Which file?")
        expect(page.locator(".run-title .pill")).to_have_text("Asking")
        page.screenshot(path=SCREENSHOTS / "dashboard-question.png")
        lines = began.iter_lines(decode_unicode=True)
        asked = next(json.loads(line[6:]) for line in lines if '"input_required"' in line)
        answer = {"input_id": asked["input_id"], "value": "budget.txt"}
        assert busy.post(f"/api/runs/{run_id}/input", answer).status_code == 200
        expect(page.locator(".run-title .pill")).to_have_text("Complete", timeout=30_000)
    used.tab("Timing").click()
    expect(used.panel.get_by_role("row", name="Question to the user Which file? → budget.txt").first).to_be_visible()


def test_a_run_can_be_cancelled_and_a_users_data_deleted(dashboard: Open, busy: Server) -> None:
    """Both from the page of a run; the deletion asks for confirmation and leaves nothing."""
    used = dashboard().logged_in()
    page = used.page
    with busy.post(
        "/api/stream_chat_smart", {"username": "Ada", "message": "wait=60"}, user="leaver", stream=True
    ) as on:
        used.go(f"#/runs/{on.headers['X-Run-Id']}")
        page.get_by_role("button", name="Cancel run").click()
        expect(page.locator(".run-title .pill")).to_have_text("Cancelled")
        assert b'"status":"cancelled"' in on.content
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete all data of user “leaver”…").click()
    dialog = page.get_by_role("dialog", name="Delete all data of user “leaver”?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete all data of user “leaver”…").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(used.rows.first).to_be_visible()
    page.get_by_label("User or persona").fill("leaver")
    expect(page.locator(".empty")).to_have_text("No runs match these filters.")


def test_untrusted_text_is_never_markup(dashboard: Open, busy: Server) -> None:
    """Markup in questions, names, headers and answers is shown literally and has no effect."""
    with busy.post(
        "/api/chat",
        {"username": "<img src=x onerror=alert(1)>", "message": f"hostile {HOSTILE}"},
        user="</script><b>x</b>",
        headers={"User-Agent": "<svg onload=alert(1)>"},
    ) as began:
        run_id = began.headers["X-Run-Id"]
    used = dashboard().logged_in()
    page = used.page
    expect(page.locator(f'tr[data-run="{run_id}"]')).to_contain_text("hostile <img src=x")
    used.go(f"#/runs/{run_id}")
    expect(page.get_by_role("heading", level=1)).to_contain_text('<img src=x onerror="document.title=')
    for name in TABS:
        used.tab(name).click()
        assert page.locator("main img, main b b, main script").count() == 0
    used.tab(TABS[0]).click()
    expect(page.locator("#answer")).to_contain_text("</script><script>alert(1)</script>")
    used.tab("HTTP").click()
    expect(used.panel.get_by_role("row", name="User-Agent <svg onload=alert(1)>")).to_be_visible()
    assert page.title() == "Dashboard · persona_stream"


def test_charts_can_be_zoomed(dashboard: Open) -> None:
    """Dragging zooms every chart, a double click goes back, and arrow keys read out the values."""
    used = dashboard().logged_in()
    page = used.page
    page.get_by_role("link", name="Charts").click()
    plot = page.get_by_role("group", name=re.compile("^Requests per"))
    expect(plot).to_have_attribute("aria-label", "Requests per 15 min")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(plot).to_have_attribute("aria-label", "Requests per 5 min")
    expect(page.locator("#zoomed")).to_be_visible()
    assert "since=" in page.url
    plot.dblclick()
    expect(plot).to_have_attribute("aria-label", "Requests per 15 min")
    expect(page.locator("#zoomed")).to_have_count(0)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator("#zoomed")).to_be_visible()
    page.get_by_role("button", name="1 h", exact=True).click()
    expect(plot).to_have_attribute("aria-label", "Requests per 1 min")
    page.get_by_role("button", name="7 d").click()
    expect(plot).to_have_attribute("aria-label", "Requests per 3 h")
    plot.focus()
    page.keyboard.press("End")
    expect(page.locator(".readout").first).to_contain_text(re.compile(r"Requests \d+ · Failed \d+"))
    total = page.locator(".tiles div").first
    assert int(re.sub(r"\D", "", total.inner_text())) >= 400


def test_the_language_can_be_switched(dashboard: Open) -> None:
    """One button switches every text, and the choice survives a reload."""
    used = dashboard().logged_in()
    page = used.page
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="失败")).to_be_visible()
    english = re.compile(r"\b(Runs|Charts|Failed|Any|Time|Status|Persona|Question|Cost|Log out|Complete|shown|more)\b")
    assert not english.search(page.locator("header").inner_text())
    assert not english.search(page.locator("main .filters").inner_text())
    assert not english.search(page.locator("thead").inner_text())
    used.open_first("complete")
    expect(used.tab("耗时")).to_be_visible()
    page.reload()
    expect(used.tab("耗时")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(used.tab("Timing")).to_be_visible()


def test_every_text_exists_in_both_languages() -> None:
    """And every text that a script uses is defined."""
    source = (FILES / "texts.js").read_text("utf-8")
    texts = dict(re.findall(r'(\w+): \["((?:[^"\\]|\\.)*)", "', source))
    pairs = re.findall(r'(\w+): \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\]', source)
    assert len(pairs) == len(texts) > 150
    for name, english, chinese in pairs:
        assert not re.search("[一-龥]", english) or name == "otherLanguage"
        assert re.search("[一-龥]", chinese) or name in ("otherLanguage", "tokens", "http", "p"), name
    used = {name for file in FILES.glob("*.js") for name in re.findall(r'\bt\("(\w+)"', file.read_text("utf-8"))}
    assert used <= texts.keys()


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "locale", "context"),
    [
        ("desktop-light-en", "en-US", {"color_scheme": "light"}),
        ("desktop-dark-zh", "zh-CN", {"color_scheme": "dark"}),
        ("phone-light-zh", "zh-CN", {"color_scheme": "light", **PHONE}),
        ("phone-dark-en", "en-US", {"color_scheme": "dark", **PHONE}),
        ("small-light-en", "en-US", {**PHONE, "viewport": {"width": 320, "height": 568}}),
    ],
)
def test_screenshots_of_every_section(
    dashboard: Open, busy: Server, name: str, locale: str, context: dict[str, Any]
) -> None:
    """Each is saved for review, has no horizontal scrolling, and no serious violation that axe-core reports."""
    used = dashboard(locale=locale, **context)
    page = used.page
    expect(page.locator("#token")).to_be_visible()

    def look(part: str, *, whole: bool = True) -> None:
        used.shoot(f"{name}-{part}", whole=whole)
        assert used.overflow() == []
        assert used.faults() == []

    look("login")
    used.logged_in()
    look("list", whole=False)
    used.open_first("complete")
    for tab in page.get_by_role("tab").all():
        tab.click()
        look(str(tab.get_attribute("id")).removeprefix("tab-"))
    used.go("#/charts?range=24")
    expect(page.locator(".chart").first).to_be_visible()
    look("charts")
    body = {"username": "Ada", "message": "story report wait=8", "locale": locale[:2]}
    with busy.post("/api/stream_chat_smart", body, stream=True) as began:
        used.go(f"#/runs/{began.headers['X-Run-Id']}")
        expect(page.locator(".live-words")).to_have_text("Reading page 3 of 8")
        look("live")
        page.get_by_role("tab").nth(4).click()
        look("live-timing")
