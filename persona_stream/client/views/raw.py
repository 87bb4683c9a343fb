"""The events as they came, with their times, for those who look into the protocol."""

from __future__ import annotations

from persona_stream.client.harmless import harmless
from persona_stream.client.screen import Screen
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Came, Reconnecting, Update
from persona_stream.core.clock import Clock

_GREY = "90"


class RawEvents:
    """Write the time since the beginning, the id and the data of every event."""

    def __init__(self, screen: Screen, texts: Texts, clock: Clock) -> None:
        self._screen, self._texts, self._clock = screen, texts, clock
        self._started = clock()

    def show(self, update: Update) -> None:
        """Write the event of this update, if it brings one."""
        match update:
            case Came(event=event) if event is not None:
                said = f"id={event.id} {event.data}"
            case Reconnecting(code=code, wait=wait):
                said = self._texts.reconnecting_because(code, wait)
            case _:
                return
        moment = f"+{self._clock() - self._started:.3f}s"
        self._screen.write(self._screen.paint(harmless(f"{moment} {said}".replace("\n", "\\n")), _GREY) + "\n")
