"""Leave a provider alone that is dead: whoever asks it meanwhile is told so at once, and it is not hammered.

After some failures in a row it is asked nothing for a pause. Then one query may try, and while its outcome is open,
another one after each further pause: of a provider that takes minutes for an answer, nobody can wait for the first
to come back. One sign of life ends it all; each failure more doubles the pause.
"""

from __future__ import annotations

import logging

from persona_stream.core.clock import Clock

_MOST = 5  # failures in a row that may be chance
_PAUSE, _LONGEST = 5.0, 60.0  # seconds


class Breaker:
    """Know whether one provider may be asked.

    Threads may share it: at worst two of them try where one was meant to.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        """Begin without doubts.

        Args:
            name: what the log calls the provider.
            clock: tells the moment.
        """
        self._name, self._clock = name, clock
        self._failures = 0
        self._pause, self._until = _PAUSE, 0.0

    @property
    def rest(self) -> float:
        """For how many seconds from now it is left alone; 0.0 where it may be asked."""
        return max(0.0, self._until - self._clock()) if self._failures >= _MOST else 0.0

    def enter(self) -> float:
        """Ask for leave to ask it: give 0.0, or the ``rest``."""
        rest = self.rest
        if not rest and self._failures >= _MOST:
            self._until = self._clock() + self._pause  # this one tries, and the others wait for what comes of it
        return rest

    def answered(self) -> None:
        """Hear that it gave a sign of life, if only a refusal."""
        if self._failures >= _MOST:
            logging.getLogger("persona_stream.backends").warning("%s answers again", self._name)
        self._failures, self._pause = 0, _PAUSE

    def failed(self) -> None:
        """Hear that it could not be reached, said nothing in time, or said that it is broken."""
        self._failures += 1
        if self._failures < _MOST:
            return
        if self._failures > _MOST:
            self._pause = min(2 * self._pause, _LONGEST)
        self._until = self._clock() + self._pause
        logging.getLogger("persona_stream.backends").error(
            "%s failed %d times in a row: it is asked nothing for %.0f s", self._name, self._failures, self._pause
        )
