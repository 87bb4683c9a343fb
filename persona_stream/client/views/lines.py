"""Progress as plain lines, for logs, pipes and terminals that cannot do more: one for each thing that happens."""

from __future__ import annotations

from persona_stream.client.screen import Screen
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Reconnecting, Update
from persona_stream.client.views.progress import Progress
from persona_stream.core.clock import Clock


class Lines:
    """Write a line when something new was said."""

    def __init__(self, screen: Screen, texts: Texts, clock: Clock) -> None:
        self._screen = screen
        self._progress = Progress(texts, clock)

    def show(self, update: Update) -> None:
        """Write the line of this update, if it has one."""
        has_news = self._progress.take(update)
        # Once there is text, a status would stand in the middle of it; that the connection is gone is worth that.
        if has_news and (not self._progress.has_text or isinstance(update, Reconnecting)):
            figures = self._progress.figures()
            percent = "    " if figures.percent is None else f"{figures.percent:3.0f}%"
            self._screen.write(f"[{figures.elapsed:6.1f}s] {percent} {figures.message}\n")
