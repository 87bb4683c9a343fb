"""What the model thought, in grey, and never among the answer."""

from __future__ import annotations

from persona_stream.client.harmless import harmless
from persona_stream.client.screen import Screen
from persona_stream.client.updates import Came, Ended, Update

_GREY = "90"


class Reasoning:
    """Write the pieces as they come, and end the line before anything else is written."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._is_open = False

    def show(self, update: Update) -> None:
        """Write the reasoning of this update, if it brings any."""
        match update:
            case Came(reply=reply) if reply.reasoning:
                self._is_open = True
                self._screen.write(self._screen.paint(harmless(reply.reasoning), _GREY))
            case Came(reply=reply) if reply.text or reply.is_last:
                self._close()
            case Ended():
                self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._screen.write("\n\n")
