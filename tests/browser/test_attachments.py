"""Attachments on the page: chosen, dropped and pasted, shown, removed, refused, sent and kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.dashboard import ADMIN, accessibility_faults
from tests.browser.page import SCREENSHOTS, Conversation
from tests.browser.serving import Server, serving

PIXEL = base64.b64decode("R0lGODlhAQABAIABAAqWhv///yH5BAEKAAEALAAAAAABAAEAAAICRAEAOw==")
CAT = {"name": "cat.gif", "mimeType": "image/gif", "buffer": PIXEL}
DRAWING = {"name": "drawing.svg", "mimeType": "image/svg+xml", "buffer": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}
NOTES = {"name": "notes.unknown", "mimeType": "", "buffer": "Größe".encode()}
SONG = {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"ID3"}

# A drop or a paste of a file, which no browser lets a script do.
TRANSFER = """([node, kind, name, type, text, html]) => {
  const data = new DataTransfer();
  data.items.add(new File(["GIF89a"], name, { type }));
  if (text) data.setData("text/plain", text);
  if (html) data.setData("text/html", html);
  const more = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  const events = kind === "paste"
    ? [new ClipboardEvent("paste", more)]
    : ["dragenter", "dragover", "drop"].map((name) => new DragEvent(name, more));
  events.forEach((event) => node.dispatchEvent(event));
}"""


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose backend reads images and files, with a small limit and a request log."""
    folder = tmp_path_factory.mktemp("looking")
    flags = ["--backend=tests.http.attachment_backend:look", "--max-body-bytes=64KiB", "--database-url=sqlite:///"]
    with serving(folder, *flags) as server:
        yield server


def attachments(page: Conversation) -> Locator:
    return page.page.locator("#attachments li")


def problem(page: Conversation) -> Locator:
    return page.page.locator("#attach-problem")


def choose(page: Conversation, *files: Any) -> None:
    page.page.locator("#files").set_input_files(list(files))


def transfer(page: Conversation, kind: str, name: str, media: str, text: str = "", html: str = "") -> None:
    node = page.message.element_handle()
    page.page.evaluate(TRANSFER, [node, kind, name, media, text, html])


def received(page: Conversation) -> list[list[Any]]:
    page.ended()
    found: list[list[Any]] = json.loads(page.text())["attachments"]
    return found


@pytest.mark.parametrize("endpoint", ["smart", "websocket", "chat"])
def test_chosen_files_are_sent_and_shown_with_the_question(visit: Visit, looking: Server, endpoint: str) -> None:
    """A raster image as itself, an SVG and others by a sign; the content is not kept for a reload."""
    page = visit(looking.page, fresh=True).connected()
    choose(page, CAT, DRAWING, NOTES)
    expect(attachments(page)).to_have_count(3)
    expect(attachments(page).locator("img")).to_have_count(1)
    page.shoot(f"attachments-chosen-{endpoint}")
    page.ask("What are these?", endpoint=endpoint)
    expect(attachments(page)).to_have_count(0)
    assert received(page) == [
        ["image", "cat.gif", "image/gif", len(PIXEL), "data:ima"],
        ["file", "drawing.svg", "image/svg+xml", len(DRAWING["buffer"]), "data:ima"],
        ["file", "notes.unknown", "text/plain", 7, "data:tex"],
    ]
    shown = page.turn.locator(".question .attachments li")
    lines = ["cat.gif43 bytes", "drawing.svg41 bytes", "notes.unknown7 bytes"]
    expect(shown).to_have_text(lines)
    expect(shown.locator("img")).to_have_count(1)
    page.shoot(f"attachments-sent-{endpoint}")
    page.page.reload()
    expect(shown).to_have_text(lines)
    expect(shown.locator("img")).to_have_count(0)
    expect(page.turn.locator(".retry")).to_be_hidden()


def test_dropped_and_pasted_files_are_attached(visit: Visit, looking: Server) -> None:
    """An image that comes with a text is that text; names lose what no file name should have."""
    page = visit(looking.page, fresh=True).connected()
    transfer(page, "drop", "a\u202egif.exe", "image/gif")
    expect(attachments(page).locator("b")).to_have_text(["a_gif.exe"])
    transfer(page, "paste", "image.png", "image/png", html="<img>")
    expect(attachments(page)).to_have_count(2)
    transfer(page, "paste", "cells.png", "image/png", text="1\t2", html="<table>")
    transfer(page, "paste", "report.pdf", "application/pdf", text="report.pdf")
    expect(attachments(page).locator("b")).to_have_text(["a_gif.exe", "image.png", "report.pdf"])


def test_attachments_can_be_removed_with_the_keyboard(visit: Visit, looking: Server) -> None:
    """The focus moves to the next one, and in the end to the button."""
    page = visit(looking.page, fresh=True).connected()
    choose(page, CAT, NOTES)
    page.page.get_by_role("button", name="Remove cat.gif").press("Enter")
    expect(page.page.get_by_role("button", name="Remove notes.unknown")).to_be_focused()
    page.page.keyboard.press("Enter")
    expect(attachments(page)).to_have_count(0)
    expect(page.page.get_by_role("button", name="Attach files")).to_be_focused()


def test_a_photo_that_does_not_fit_is_scaled_down(visit: Visit, looking: Server) -> None:
    """As a JPEG, and the page says so; the limit of this server has no room for the original."""
    page = visit(looking.page, fresh=True).connected()
    noise = """async () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 300, height: 200 });
      const context = canvas.getContext("2d"), pixels = context.createImageData(300, 200);
      for (let i = 0; i < pixels.data.length; i += 1) pixels.data[i] = i % 4 === 3 ? 255 : 120 + (i * 7919) % 16;
      context.putImageData(pixels, 0, 0);
      const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
      const file = new File([blob, new Uint8Array(60_000)], "photo.png", { type: "image/png" });
      const transfer = new DataTransfer();
      transfer.items.add(file);
      document.getElementById("files").files = transfer.files;
      document.getElementById("files").dispatchEvent(new Event("change"));
    }"""
    page.page.evaluate(noise)
    expect(attachments(page).locator("b")).to_have_text(["photo.jpg"])
    expect(attachments(page).locator("div span")).to_contain_text("scaled down")
    page.shoot("attachments-scaled")
    page.ask("What is it?")
    [[kind, name, media_type, size, _]] = received(page)
    assert (kind, name, media_type) == ("image", "photo.jpg", "image/jpeg")
    assert size < 36_864


def test_what_cannot_be_sent_is_refused_at_once(visit: Visit, looking: Server) -> None:
    """With the reason, by name: its size, its type, nothing in it, too many."""
    page = visit(looking.page, fresh=True).connected()
    choose(page, {**CAT, "name": "large.gif", "buffer": b"x" * 40_000})
    expect(problem(page)).to_have_text("large.gif does not fit: all attachments together may have 36.9 kB.")
    choose(page, {**CAT, "name": "empty.gif", "buffer": b""})
    expect(problem(page)).to_have_text("empty.gif is empty.")
    choose(page, *[CAT] * 9)
    expect(problem(page)).to_have_text("A question has at most 8 attachments.")
    expect(attachments(page)).to_have_count(8)
    page.shoot("attachments-refused")
    page.message.press("Enter")
    expect(problem(page)).to_have_text("Enter a message.")


def test_the_button_is_shown_only_where_the_backend_takes_attachments(visit: Visit, server: Server) -> None:
    """Elsewhere, a dropped or pasted file is left to the browser."""
    page = visit(server.page, fresh=True).connected()
    expect(page.page.locator("#options-toggle")).to_be_visible()
    expect(page.page.locator("#attach")).to_be_hidden()
    transfer(page, "paste", "image.png", "image/png")
    expect(attachments(page)).to_have_count(0)


def test_an_edited_question_has_its_attachments_again(visit: Visit, looking: Server) -> None:
    """And so has one that is asked again."""
    page = visit(looking.page, fresh=True).connected()
    choose(page, CAT)
    page.ask("What is it?")
    page.ended()
    page.turn.locator(".edit").click()
    expect(attachments(page).locator("b")).to_have_text(["cat.gif"])
    page.turn.locator(".retry").click()
    expect(page.turns).to_have_count(2)
    assert received(page)[0][1] == "cat.gif"


def test_the_dashboard_shows_type_name_and_size(visit: Visit, looking: Server) -> None:
    """On the first tab of the run, in both languages; the content is not in the log."""
    page = visit(looking.page, fresh=True).connected()
    choose(page, CAT, DRAWING)
    page.ask("What are these?")
    page.ended()
    run_id = page.page.evaluate("state.turns.at(-1).runId")
    dashboard = visit(f"{looking.url}/dashboard#token={ADMIN}&to=/runs/{run_id}", fresh=True).page
    rows = dashboard.get_by_role("table").filter(has_text="cat.gif").locator("tbody tr")
    expect(rows).to_have_text(["cat.gifimage43 bytes", "drawing.svgfile41 bytes"])
    dashboard.screenshot(path=SCREENSHOTS / "dashboard-attachments.png")
    dashboard.get_by_role("tab", name="Request").click()
    expect(dashboard.locator("pre.code").first).to_contain_text("data:image/gif;base64,(43 B)")


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("locale", "width"), [("en-US", 1280), ("zh-CN", 360)])
def test_no_state_has_a_serious_fault(visit: Visit, looking: Server, scheme: str, locale: str, width: int) -> None:
    """Attachments and a problem in the composer, and attachments of a question, as axe-core judges them."""
    options = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 800}}
    page = visit(looking.page, **options).connected()
    choose(page, CAT, DRAWING, {**CAT, "name": "empty.gif", "buffer": b""})
    expect(problem(page)).not_to_be_empty()
    expect(attachments(page)).to_have_count(2)
    page.shoot(f"attachments-{scheme}-{locale[:2]}-{width}")
    assert accessibility_faults(page.page) == []
    page.ask("What are these?")
    page.ended()
    assert accessibility_faults(page.page) == []
