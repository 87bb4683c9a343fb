"""Tool calls on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.serving import Server, serving

CALLS = ['weather {"city":"Wien"}', "clock {}"]


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers have two tool calls."""
    folder = tmp_path_factory.mktemp("calling")
    with serving(folder, "--backend=tests.backends_for_tests:calling", "--database-url=off") as server:
        yield server


@pytest.mark.parametrize("endpoint", ["smart", "chat"])
def test_tool_calls_are_listed_below_the_answer(visit: Visit, calling: Server, endpoint: str) -> None:
    """As text, and still there after a reload."""
    page = visit(calling.page, fresh=True).connected()
    page.ask("Which weather?", endpoint=endpoint)
    page.ended()
    calls = page.turn.get_by_role("list", name="Tool calls").locator("li")
    expect(calls).to_have_text(CALLS)
    page.shoot(f"tool-calls-{endpoint}")
    page.page.reload()
    expect(calls).to_have_text(CALLS)
