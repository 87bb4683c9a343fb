"""Status texts of the operator's own, and the texts in a language that lacks them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from persona_stream.core import i18n


@pytest.fixture
def japanese() -> Iterator[None]:
    """Register status texts in Japanese, and English ones instead of the bundled."""
    i18n.register_status_messages({"ja": ("一", "二"), "en": ("Counting sheep",)})
    yield
    i18n._own_texts.clear()


@pytest.mark.usefixtures("japanese")
def test_own_texts_take_turns() -> None:
    """In every style, from the first one on; another language keeps the bundled texts."""
    assert [i18n.status_text("smart", step, "ja") for step in range(4)] == ["一", "二", "一", "二"]
    assert i18n.status_text("basic", 7, "en") == "Counting sheep"
    assert i18n.status_text("basic", 0, "zh") == "正在处理您的请求..."
    assert i18n.languages() == ("zh", "en", "ja")


@pytest.mark.usefixtures("japanese")
def test_other_texts_are_english_in_a_language_that_lacks_them() -> None:
    """Errors, the queue, and the end of the wait."""
    assert i18n.queued_text("ja", 2) == "Waiting in the queue, position 2"
    assert i18n.answer_ready_text("ja", 1.0) == "Done (took 1.0 s), sending the reply..."
    assert i18n.error_text("cancelled", None, "ja") == "The request was cancelled"
    assert i18n.late_text("一", 4.0, "ja") == "May exceed the limit of 4 s. 一"
    assert i18n.answered_text("zh", 1.0) == "处理完成，耗时 1.0 秒"
