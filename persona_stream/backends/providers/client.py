"""Ask, and ask again where that may help, and say what went wrong in words of our own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from persona_stream.backends.providers.base import Dialect
from persona_stream.backends.providers.errors import AGAIN, RESTING, WAITING, WORDS, Trouble, mask
from persona_stream.backends.providers.responses import answer_in
from persona_stream.backends.providers.retry import Breaker, Budget, pause_after
from persona_stream.backends.providers.stream import Listening, beginning, is_stream
from persona_stream.backends.providers.transport import Wire
from persona_stream.core.clock import Clock
from persona_stream.core.query import Answer, Query, Upstream
from persona_stream.errors import BackendError, BackendUnavailable

# The run's own deadline comes first, and ends the run as a timeout: ours is for where nobody can kill us.
_SPARE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Answer queries with the model of a provider.

    Attributes:
        dialect: what it speaks.
        model: what the log calls it by.
        stream: whether to ask for streams.
        secret: what the log must not show.
        tries: how often to ask.
        timeout: the deadline of a run, in seconds.
        idle: how long a stream may say nothing, in seconds, once it has said something.
        max_body_bytes: how large an answer may be.
        wire: the way to it.
        breaker: whether it may be asked at all.
        budget: whether it may be asked again.
        sleep: waits between two tries.
        rest: waits for more of a stream to come.
        jitter: gives numbers from 0.0 to 1.0 that spread those waits.
        clock: tells the moment.
    """

    dialect: Dialect
    model: str
    stream: bool
    secret: str = field(repr=False)
    tries: int
    timeout: float
    idle: float
    max_body_bytes: int
    wire: Wire = field(repr=False)
    breaker: Breaker = field(repr=False)
    budget: Budget = field(repr=False)
    sleep: Callable[[float], object]
    rest: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock

    def ask(self, query: Query) -> Answer:
        """Give the model's answer; of one that comes as a stream, what was not sent on the way.

        Raises:
            BackendUnavailable: nothing was said, and another provider might say something.
            BackendError: there is no answer; its text says why, in the query's language.
        """
        body = self.dialect.body(query, stream=self.stream)
        until = self.clock() + self.timeout + _SPARE
        sent = 0
        self.budget.earn()
        while True:
            if rest := self.breaker.enter():
                raise BackendUnavailable(RESTING[query.locale].format(seconds=math.ceil(rest)))
            query.report(WAITING[query.locale])
            sent += 1
            began_at = self.clock()
            try:
                answer = self._try(query, body, until)
            except Trouble as trouble:
                if trouble.down:
                    self.breaker.failed()
                else:
                    self.breaker.answered()
                query.on_upstream(self._upstream(body, began_at, None, trouble.kind, self._masked(trouble)))
                pause = pause_after(sent, trouble, until - self.clock(), self.jitter(), self.tries)
                if pause is not None and not self.budget.spend():
                    pause = None
                self._log(trouble, sent, pause)
                if pause is None:
                    error = BackendUnavailable if trouble.elsewhere else BackendError
                    # Without its cause, which may quote the provider, and the provider may quote the key.
                    raise error(WORDS[trouble.kind][query.locale]) from None
                again = AGAIN["unreachable" if trouble.kind in ("unreachable", "broken_off") else "busy"][query.locale]
            except BaseException:  # a kill, at the deadline for instance; or a defect
                if self.clock() >= until - _SPARE:
                    self.breaker.failed()
                query.on_upstream(self._upstream(body, began_at, None, "stopped", "stopped before an answer came"))
                raise
            else:
                query.on_upstream(self._upstream(body, began_at, answer.raw))
                return answer
            query.report(again.format(seconds=math.ceil(pause)))
            self.sleep(pause)

    def _try(self, query: Query, body: object, until: float) -> Answer:
        with self.wire.post(body, until, stream=self.stream) as incoming:
            if incoming.succeeds:
                self.breaker.answered()  # what becomes of the answer is another matter
            begun = b""
            # A provider that does not stream answers in whole, also where a stream was asked for.
            if self.stream and incoming.succeeds and is_stream(begun := beginning(incoming.pieces)):
                listening = Listening(self.dialect, query, self.clock, self.idle, self.max_body_bytes, self.rest)
                return listening.answer(incoming, begun)
            return answer_in(incoming.whole(self.max_body_bytes, begun), self.dialect, self.clock())

    def _log(self, trouble: Trouble, tries: int, pause: float | None) -> None:
        then = "giving up" if pause is None else f"trying again in {pause:.1f} s"
        logging.getLogger(f"persona_stream.backends.{self.dialect.name}").warning(
            "try %d of model %s: %s (%s), %s", tries, self.model, trouble.kind, self._masked(trouble), then
        )

    def _masked(self, trouble: Trouble) -> str:
        return mask(trouble.detail, self.secret)

    def _upstream(
        self, body: object, began_at: float, response: object, outcome: str = "answered", trouble: str | None = None
    ) -> Upstream:
        return Upstream(
            provider=self.dialect.name,
            model=self.model,
            url=self.wire.url,
            request=body,
            response=response,
            trouble=trouble,
            outcome=outcome,
            began_at=began_at,
            seconds=self.clock() - began_at,
        )
