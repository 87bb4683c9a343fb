"""Links between the page, the dashboard and the API page, and from a turn to its run."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dashboard import ADMIN
from tests.browser.serving import Server, serving


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory):
    """A server with a request log."""
    folder = tmp_path_factory.mktemp("logging")
    with serving(folder, "--backend", "tests.browser.backend:answer", "--database-url=sqlite:///") as server:
        yield server


@pytest.mark.parametrize("width", [1280, 360])
def test_an_administrator_gets_from_an_answer_to_its_run(visit: Visit, logging: Server, width: int) -> None:
    """The dashboard logs in with the token of the page, and links back; the address keeps no token."""
    chat = visit(f"{logging.address}/#token={ADMIN}", viewport={"width": width, "height": 800}).connected()
    page = chat.page
    chat.ask("hello")
    chat.ended()
    chat.shoot(f"links-{width}")
    chat.turn.get_by_role("link", name="Trace").click()
    expect(page.get_by_role("heading", name="hello", level=1)).to_be_visible()
    assert "token" not in page.url
    page.get_by_role("link", name="Page", exact=True).click()
    expect(chat.turn).to_contain_text("The answer is 42.")
    if width == 1280:
        expect(page.locator("header").get_by_role("link", name="API")).to_have_attribute(
            "href", f"{logging.address}/docs"
        )
        page.locator("header").get_by_role("link", name="Dashboard").click()
        expect(page.get_by_role("navigation")).to_contain_text("Charts")


def test_other_users_see_no_way_to_the_dashboard(visit: Visit, server: Server) -> None:
    """They could not log in there."""
    chat = visit(server.page).connected()
    chat.ask("hello")
    chat.ended()
    expect(chat.turn.get_by_role("link", name="Trace")).to_be_hidden()
    expect(chat.page.get_by_role("link", name="Dashboard")).to_have_count(0)


def test_an_error_has_the_run_id_and_a_button_that_copies_it(visit: Visit, server: Server) -> None:
    """For the operator, who finds the cause in the log under this id."""
    chat = visit(server.page).connected()
    chat.ask("crash")
    chat.ended()
    run = chat.notice.locator("code")
    expect(run).to_have_text(re.compile("^Run [0-9a-z]{26}$"))
    chat.shoot("error-run-id")
    chat.notice.get_by_role("button", name="Copy the run id").click()
    expect(chat.page.locator("#announce")).to_have_text("Copied")


def test_a_server_without_authentication_needs_no_token(visit: Visit, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The page connects by itself."""
    with serving(tmp_path_factory.mktemp("open"), "--backend", "tests.browser.backend:answer", "--auth=off") as server:
        chat = visit(f"{server.address}/", fresh=True).connected()
        chat.ask("hello")
        assert chat.ended().text() == "The answer is 42."
