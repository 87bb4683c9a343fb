"""Ask, and ask again where that may help, and say what went wrong in words of our own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from persona_stream.backends.openai.answers import read
from persona_stream.backends.openai.payload import body_of
from persona_stream.backends.openai.retries import pause_after
from persona_stream.backends.openai.trouble import Trouble
from persona_stream.backends.openai.wire import Reply
from persona_stream.backends.openai.words import AGAIN, WAITING, WORDS
from persona_stream.clock import Clock
from persona_stream.errors import BackendError
from persona_stream.query import Answer, Query

logger = logging.getLogger("persona_stream.backends.openai")

# The run's own deadline comes first, and ends the run as a timeout: ours is for where nobody can kill us.
_SPARE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Answer queries with the model of a provider."""

    model: str
    secret: str = field(repr=False)
    timeout: float
    post: Callable[[object, float], Reply]
    sleep: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock

    def ask(self, query: Query) -> Answer:
        """Give the model's answer.

        Raises:
            BackendError: there is none; its text says why, in the query's language.
        """
        body = body_of(query, self.model)
        until = self.clock() + self.timeout + _SPARE
        tries = 0
        while True:
            query.report(WAITING[query.locale])
            tries += 1
            try:
                return read(self.post(body, until), self.clock())
            except Trouble as trouble:
                pause = pause_after(tries, trouble, until - self.clock(), self.jitter())
                self._log(trouble, tries, pause)
                if pause is None:
                    # Without its cause, which may quote the provider, and the provider may quote the key.
                    raise BackendError(WORDS[trouble.kind][query.locale]) from None
                again = AGAIN["unreachable" if trouble.kind == "unreachable" else "busy"][query.locale]
            query.report(again.format(seconds=math.ceil(pause)))
            self.sleep(pause)

    def _log(self, trouble: Trouble, tries: int, pause: float | None) -> None:
        detail = trouble.detail.replace(self.secret, "***") if self.secret else trouble.detail
        then = "giving up" if pause is None else f"trying again in {pause:.1f} s"
        logger.warning("try %d of model %s: %s (%s), %s", tries, self.model, trouble.kind, detail, then)
