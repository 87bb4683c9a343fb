"""The answer, as it comes: the only thing that is written to standard output."""

from __future__ import annotations

from persona_stream.client.harmless import harmless
from persona_stream.client.screen import Screen
from persona_stream.client.updates import Came, Ended, Update


class Answer:
    """Write every piece at once, or all of them at the end; and end the last line."""

    def __init__(self, screen: Screen, *, at_once: bool = True) -> None:
        self._screen, self._at_once = screen, at_once
        self._held: list[str] = []
        self._last = "\n"

    def show(self, update: Update) -> None:
        """Write the text of this update, if it brings any."""
        match update:
            case Came(reply=reply) if reply.text:
                text = harmless(reply.text)
                self._last = text[-1]
                if self._at_once:
                    self._screen.write(text)
                else:
                    self._held.append(text)
            case Ended():
                self._screen.write("".join(self._held) + ("" if self._last == "\n" else "\n"))
