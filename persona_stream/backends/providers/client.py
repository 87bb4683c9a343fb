"""Ask, and ask again where that may help, and say what went wrong in words of our own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.errors import (
    CIRCUIT_OPEN_TEXT,
    ERROR_TEXTS,
    RETRY_TEXTS,
    WAITING_TEXT,
    ProviderError,
    mask,
)
from persona_stream.backends.providers.responses import parse_response
from persona_stream.backends.providers.retry import CircuitBreaker, RetryBudget, retry_delay
from persona_stream.backends.providers.stream import StreamReader, beginning, is_stream
from persona_stream.backends.providers.transport import HttpTransport
from persona_stream.core.clock import Clock
from persona_stream.core.query import Answer, Query, UpstreamCall
from persona_stream.errors import BackendError, BackendUnavailable

# The run's own deadline comes first, and ends the run as a timeout: ours is for where nobody can kill us.
_SPARE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderClient:
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

    dialect: ProviderAdapter
    model: str
    stream: bool
    secret: str = field(repr=False)
    tries: int
    timeout: float
    idle: float
    max_body_bytes: int
    wire: HttpTransport = field(repr=False)
    breaker: CircuitBreaker = field(repr=False)
    budget: RetryBudget = field(repr=False)
    sleep: Callable[[float], object]
    rest: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock

    def complete(self, query: Query) -> Answer:
        """Give the model's answer; of one that comes as a stream, what was not sent on the way.

        Raises:
            BackendUnavailable: nothing was said, and another provider might say something.
            BackendError: there is no answer; its text says why, in the query's language.
        """
        body = self.dialect.build_request(query, stream=self.stream)
        until = self.clock() + self.timeout + _SPARE
        sent = 0
        self.budget.deposit()
        while True:
            if rest := self.breaker.acquire():
                raise BackendUnavailable(CIRCUIT_OPEN_TEXT[query.locale].format(seconds=math.ceil(rest)))
            query.report(WAITING_TEXT[query.locale])
            sent += 1
            began_at = self.clock()
            try:
                answer = self._try(query, body, until)
            except ProviderError as trouble:
                if trouble.is_outage:
                    self.breaker.record_failure()
                else:
                    self.breaker.record_success()
                query.record_upstream_call(self._upstream(body, began_at, None, trouble.kind, self._masked(trouble)))
                pause = retry_delay(sent, trouble, until - self.clock(), self.jitter(), self.tries)
                if pause is not None and not self.budget.withdraw():
                    pause = None
                self._log(trouble, sent, pause)
                if pause is None:
                    error = BackendUnavailable if trouble.fallback_allowed else BackendError
                    # Without its cause, which may quote the provider, and the provider may quote the key.
                    raise error(ERROR_TEXTS[trouble.kind][query.locale]) from None
                again = RETRY_TEXTS["unreachable" if trouble.kind in ("unreachable", "broken_off") else "busy"][
                    query.locale
                ]
            except BaseException:  # a kill, at the deadline for instance; or a defect
                if self.clock() >= until - _SPARE:
                    self.breaker.record_failure()
                query.record_upstream_call(
                    self._upstream(body, began_at, None, "stopped", "stopped before an answer came")
                )
                raise
            else:
                query.record_upstream_call(self._upstream(body, began_at, answer.raw))
                return answer
            query.report(again.format(seconds=math.ceil(pause)))
            self.sleep(pause)

    def _try(self, query: Query, body: object, until: float) -> Answer:
        with self.wire.post(body, until, stream=self.stream) as incoming:
            if incoming.succeeds:
                self.breaker.record_success()  # what becomes of the answer is another matter
            begun = b""
            # A provider that does not stream answers in whole, also where a stream was asked for.
            if self.stream and incoming.succeeds and is_stream(begun := beginning(incoming.pieces)):
                listening = StreamReader(self.dialect, query, self.clock, self.idle, self.max_body_bytes, self.rest)
                return listening.read(incoming, begun)
            return parse_response(incoming.read(self.max_body_bytes, begun), self.dialect, self.clock())

    def _log(self, trouble: ProviderError, tries: int, pause: float | None) -> None:
        then = "giving up" if pause is None else f"trying again in {pause:.1f} s"
        logging.getLogger(f"persona_stream.backends.{self.dialect.name}").warning(
            "try %d of model %s: %s (%s), %s", tries, self.model, trouble.kind, self._masked(trouble), then
        )

    def _masked(self, trouble: ProviderError) -> str:
        return mask(trouble.detail, self.secret)

    def _upstream(
        self, body: object, began_at: float, response: object, outcome: str = "answered", trouble: str | None = None
    ) -> UpstreamCall:
        return UpstreamCall(
            provider=self.dialect.name,
            model=self.model,
            url=self.wire.url,
            request=body,
            response=response,
            error=trouble,
            status=outcome,
            began_at=began_at,
            seconds=self.clock() - began_at,
        )
