"""Steps: slow on purpose, and true about it."""

from __future__ import annotations

import pytest

from persona_stream.backends.demo.steps import Steps
from persona_stream.core.query import Locale, Query


def walked(locale: Locale, seconds: float) -> list[tuple[str, float | None] | float]:
    """Give what is reported and how long is slept, in order."""
    record: list[tuple[str, float | None] | float] = []

    def note(message: str, fraction: float | None) -> None:
        record.append((message, fraction))

    query = Query(username="MeiLin", message="tea?", locale=locale, on_report=note)
    steps = Steps(query, seconds, lambda duration: record.append(round(duration, 6)))
    steps.opening("林梅", 5)
    steps.ranking()
    steps.matched(2, 5)
    steps.composing(1, 2, sources_follow=True)
    steps.composing(2, 2, sources_follow=True)
    steps.sources(2)
    return record


@pytest.mark.parametrize(
    ("locale", "texts"),
    [
        (
            "zh",
            [
                "正在打开 林梅 的档案：共 5 条笔记...",
                "正在按您的问题给笔记排序...",
                "5 条笔记中有 2 条与问题有关...",
                "正在撰写第 1/2 段...",
                "正在撰写第 2/2 段...",
                "正在整理 2 条笔记的出处...",
            ],
        ),
        (
            "en",
            [
                "Opening the profile of 林梅: 5 notes...",
                "Ranking the notes for your question...",
                "Found 2 of 5 notes that fit...",
                "Composing paragraph 1 of 2...",
                "Composing paragraph 2 of 2...",
                "Putting together the sources of 2 notes...",
            ],
        ),
    ],
)
def test_each_step_is_told_and_then_takes_its_share_of_the_time(locale: Locale, texts: list[str]) -> None:
    """The fraction told with a step is the share of the time that has passed."""
    fractions = [0.0, 0.1, 0.2, 0.3, 0.6, 0.9]
    expected: list[object] = []
    for text, start, end in zip(texts, fractions, [*fractions[1:], 1.0], strict=True):
        expected += [(text, pytest.approx(start)), pytest.approx(10 * (end - start))]
    assert walked(locale, 10.0) == expected


def test_no_time_is_no_sleep() -> None:
    """With 0 seconds every step is told and none waits."""
    assert all(isinstance(entry, tuple) for entry in walked("en", 0.0))


def test_a_reply_without_sources_takes_the_whole_time_too() -> None:
    """Its paragraphs have the share of the steps that it lacks."""
    slept: list[float] = []
    steps = Steps(Query(username="MeiLin", message="hi"), 8.0, slept.append)
    steps.opening("Mei", 0)
    steps.ranking()
    steps.composing(1, 2, sources_follow=False)
    steps.composing(2, 2, sources_follow=False)
    assert sum(slept) == pytest.approx(8.0)
