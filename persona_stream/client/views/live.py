"""A line of progress on a terminal, drawn again in its place, and gone before the answer begins."""

from __future__ import annotations

from persona_stream.client.bar import line
from persona_stream.client.screen import Screen
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Ended, Update
from persona_stream.client.views.progress import Progress
from persona_stream.core.clock import Clock

_CLEAR = "\r\x1b[K"
_CYAN = "36"


class LiveBar:
    """Draw the bar until there is text: after that, the cursor stands in the middle of somebody else's line."""

    def __init__(self, screen: Screen, texts: Texts, clock: Clock) -> None:
        self._screen, self._texts = screen, texts
        self._progress = Progress(texts, clock)
        self._frame = 0
        self._is_drawn = False

    def show(self, update: Update) -> None:
        """Draw, or clear."""
        self._progress.take(update)
        if self._progress.has_text or isinstance(update, Ended):
            if self._is_drawn:
                self._is_drawn = False
                self._screen.write(_CLEAR)
            return
        screen, self._frame = self._screen, self._frame + 1
        drawn = line(self._progress.figures(), screen.width(), self._texts, unicode=screen.unicode, frame=self._frame)
        self._is_drawn = True
        self._screen.write(_CLEAR + screen.paint(drawn, _CYAN))
