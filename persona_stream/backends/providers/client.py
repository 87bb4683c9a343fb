"""Client of one model provider: attempts, retries, and errors in the query's language."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from persona_stream.backends.providers import errors
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.responses import parse_response
from persona_stream.backends.providers.retry import CircuitBreaker, RetryBudget, retry_delay
from persona_stream.backends.providers.stream import StreamReader, is_stream, read_prefix
from persona_stream.backends.providers.transport import HttpTransport
from persona_stream.core.clock import Clock
from persona_stream.core.query import Answer, Query, UpstreamCall
from persona_stream.errors import BackendError, BackendUnavailable

# The executor ends a run at its own deadline, as a timeout. The client gives up later, where a run cannot be killed.
DEADLINE_MARGIN = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderClient:
    """Client that answers queries with the model of a provider. ``ProviderOptions`` describes the options.

    Attributes:
        model: name of the model in the log.
        stream: whether to request streams.
        secret: the API key, which is masked in the log.
    """

    adapter: ProviderAdapter
    model: str
    stream: bool
    secret: str = field(repr=False)
    transport: HttpTransport = field(repr=False)
    breaker: CircuitBreaker = field(repr=False)
    budget: RetryBudget = field(repr=False)
    max_attempts: int
    timeout: float
    idle_timeout: float
    max_body_bytes: int
    sleep: Callable[[float], object]
    coalesce: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock

    def complete(self, query: Query) -> Answer:
        """Return the model's answer; for a stream, without the text that was already sent.

        Raises:
            BackendUnavailable: nothing was sent yet, and another provider may be able to answer.
            BackendError: there is no answer; the text gives the reason in the query's language.
        """
        body = self.adapter.build_request(query, self.model, stream=self.stream)
        deadline = self.clock() + self.timeout + DEADLINE_MARGIN
        attempts = 0
        self.budget.deposit()
        while True:
            if open_for := self.breaker.acquire():
                raise BackendUnavailable(errors.CIRCUIT_OPEN_TEXT[query.locale].format(seconds=math.ceil(open_for)))
            query.report(errors.WAITING_TEXT[query.locale])
            attempts += 1
            began_at = self.clock()
            try:
                answer = self._attempt(query, body, deadline)
            except errors.ProviderError as error:
                if error.is_outage:
                    self.breaker.record_failure()
                else:
                    self.breaker.record_success()
                detail = errors.mask(error.detail, self.secret)
                query.record_upstream_call(self._upstream_call(body, began_at, None, error.kind, detail))
                delay = retry_delay(attempts, error, deadline - self.clock(), self.jitter(), self.max_attempts)
                if delay is not None and not self.budget.withdraw():
                    delay = None
                self._log(error.kind, detail, attempts, delay)
                if delay is None:
                    error_type = BackendUnavailable if error.fallback_allowed else BackendError
                    # Without its cause, which may quote the provider, and the provider may quote the key.
                    raise error_type(errors.ERROR_TEXTS[error.kind][query.locale]) from None
                texts = errors.RETRY_TEXTS["unreachable" if error.kind in ("unreachable", "broken_off") else "busy"]
            except BaseException:  # killed, for instance at the run's deadline; or a defect
                if self.clock() >= deadline - DEADLINE_MARGIN:
                    self.breaker.record_failure()
                stopped = self._upstream_call(body, began_at, None, "stopped", "stopped before an answer came")
                query.record_upstream_call(stopped)
                raise
            else:
                query.record_upstream_call(self._upstream_call(body, began_at, answer.raw))
                return answer
            query.report(texts[query.locale].format(seconds=math.ceil(delay)))
            self.sleep(delay)

    def _attempt(self, query: Query, body: object, deadline: float) -> Answer:
        with self.transport.post(body, deadline, stream=self.stream) as response:
            if response.is_success:
                self.breaker.record_success()  # whether the answer can be used is another matter
            prefix = b""
            # A provider without streaming sends a whole answer even where a stream was requested.
            if self.stream and response.is_success and is_stream(prefix := read_prefix(response.chunks)):
                reader = StreamReader(
                    self.adapter,
                    query,
                    self.clock,
                    idle_timeout=self.idle_timeout,
                    max_chars=self.max_body_bytes,
                    coalesce=self.coalesce,
                )
                return reader.read(response, prefix)
            return parse_response(response.read(self.max_body_bytes, prefix), self.adapter)

    def _log(self, kind: str, detail: str, attempts: int, delay: float | None) -> None:
        outcome = "giving up" if delay is None else f"retrying in {delay:.1f} s"
        logging.getLogger(f"persona_stream.backends.{self.adapter.name}").warning(
            "attempt %d for model %s failed: %s (%s), %s", attempts, self.model, kind, detail, outcome
        )

    def _upstream_call(
        self, body: object, began_at: float, response: object, status: str = "answered", error: str | None = None
    ) -> UpstreamCall:
        return UpstreamCall(
            provider=self.adapter.name,
            model=self.model,
            url=self.transport.url,
            request=body,
            response=response,
            error=error,
            status=status,
            began_at=began_at,
            seconds=self.clock() - began_at,
        )
