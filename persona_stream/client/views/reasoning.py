"""What the model thought, in grey, and never among the answer."""

from __future__ import annotations

from persona_stream.client.harmless import harmless
from persona_stream.client.screen import Screen
from persona_stream.client.updates import Came, Ended, Reconnecting, Update

_GREY = "90"


class Reasoning:
    """Write the pieces as they come, on lines of their own: what else is written begins on another.

    Args:
        screen: where to.
        beside_answer: whether the answer stands on the same terminal.
    """

    def __init__(self, screen: Screen, *, beside_answer: bool = False) -> None:
        self._screen, self._beside_answer = screen, beside_answer
        self._is_open = False
        self._last = "\n"  # the last character on the screen, as far as it is a text's

    def show(self, update: Update) -> None:
        """Write the reasoning of this update, if it brings any."""
        match update:
            case Came(reply=reply) if reply.reasoning:
                self._open()
                self._last = reply.reasoning[-1]
                self._screen.write(self._screen.paint(harmless(reply.reasoning), _GREY))
            case Came(reply=reply) if reply.text:
                self._close("\n")
                self._last = reply.text[-1] if self._beside_answer else "\n"
            case Came(reply=reply) if reply.is_last:
                self._close("\n")
            case Reconnecting():
                self._close()
            case Ended():
                self._close("\n")

    def _open(self) -> None:
        # A model may think again in the middle of its answer.
        if not self._is_open and self._last != "\n":
            self._screen.write("\n")
        self._is_open = True

    def _close(self, space: str = "") -> None:
        if self._is_open:
            self._screen.write(("" if self._last == "\n" else "\n") + space)
            self._is_open, self._last = False, "\n"
