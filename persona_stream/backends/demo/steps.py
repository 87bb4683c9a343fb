"""Be slow on purpose, and tell truly how far the work is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from persona_stream.core.query import Locale, Query

Sleep = Callable[[float], None]

# How much of the time has passed at the end of each kind of step; paragraphs share theirs evenly.
_OPENED, _RANKED, _MATCHED, _COMPOSED, _END = 0.1, 0.2, 0.3, 0.9, 1.0

_TEXTS: Mapping[Locale, Mapping[str, str]] = {
    "zh": {
        "opening": "正在打开 {name} 的档案：共 {total} 条笔记...",
        "ranking": "正在按您的问题给笔记排序...",
        "matched": "{total} 条笔记中有 {count} 条与问题有关...",
        "composing": "正在撰写第 {part}/{parts} 段...",
        "sources": "正在整理 {count} 条笔记的出处...",
    },
    "en": {
        "opening": "Opening the profile of {name}: {total} notes...",
        "ranking": "Ranking the notes for your question...",
        "matched": "Found {count} of {total} notes that fit...",
        "composing": "Composing paragraph {part} of {parts}...",
        "sources": "Putting together the sources of {count} notes...",
    },
}


class Steps:
    """Report each step of a query, in the language of its status texts, and let its share of the time pass.

    The fractions are shares of the time, so the progress is as true as the clock.
    """

    def __init__(self, query: Query, seconds: float, sleep: Sleep) -> None:
        self._query = query
        self._seconds = seconds
        self._sleep = sleep
        self._texts = _TEXTS[query.locale]
        self._passed = 0.0

    def opening(self, name: str, total: int) -> None:
        """Say whose profile is being opened, and how many notes are in it."""
        self._step("opening", _OPENED, name=name, total=total)

    def ranking(self) -> None:
        """Say that its notes are being ranked."""
        self._step("ranking", _RANKED)

    def matched(self, count: int, total: int) -> None:
        """Say how many of them fit."""
        self._step("matched", _MATCHED, count=count, total=total)

    def composing(self, part: int, parts: int, *, sources_follow: bool) -> None:
        """Say which paragraph is being written, counted from 1."""
        end = _COMPOSED if sources_follow else _END
        self._step("composing", _MATCHED + (end - _MATCHED) * part / parts, part=part, parts=parts)

    def sources(self, count: int) -> None:
        """Say that the sources of so many notes are being put together."""
        self._step("sources", _END, count=count)

    def _step(self, text: str, end: float, **values: object) -> None:
        self._query.report(self._texts[text].format(**values), self._passed)
        if self._seconds:
            self._sleep(self._seconds * (end - self._passed))
        self._passed = end
