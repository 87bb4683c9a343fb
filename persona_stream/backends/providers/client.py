"""Client of one model provider: attempts, retries, and errors in the query's language; factory of backends with it."""

import logging
import math
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Required, TypedDict
from urllib.parse import urlsplit

import requests

from persona_stream.backends import texts
from persona_stream.backends.base import Backend
from persona_stream.backends.providers import base, compatibility, errors, responses, retry
from persona_stream.backends.providers.stream import StreamReader, is_stream, read_prefix
from persona_stream.backends.providers.transport import ProviderTransport, SessionPool, session_factory
from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.core.i18n import translation
from persona_stream.core.query import Answer, Query, UpstreamCall
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError

# A longer ``Retry-After`` is passed on to the client: its connection might not survive the wait for a whole answer.
MAX_WAIT = 25.0  # seconds, over all attempts of a query
MAX_REPAIRS = 5  # of one query's request

# The executor ends a run at its own deadline, as a timeout. The client gives up later, where a run cannot be killed.
DEADLINE_MARGIN = 1.0  # seconds


class ProviderOptions(TypedDict, total=False):
    """Options of a provider backend that do not depend on the API format. The first three are required.

    Attributes:
        base_url: the provider's base URL.
        api_key: the API key, which is masked in the log; a provider on the same machine may need none.
        model: the model to request.
        stream: whether to request streams.
        timeout: the deadline of a run in seconds. The executor ends a run at it; the client gives up a moment later,
            in case the run could not be killed.
        max_attempts: maximum number of attempts for a query. One, where a fallback backend can take over at once.
        max_wait: how long a query may wait for its next attempts because the provider requires it, in seconds.
        idle_timeout: how long a stream may stay silent after its first content, in seconds. Keep-alive comments do not
            count as content.
        max_body_bytes: maximum size of an answer, decompressed; for a stream, of the part that is kept.
        session: the session for all requests, instead of a connection pool.
        sleep: waits between two attempts.
        coalesce: waits for more of a stream, so that several tokens are forwarded together.
        jitter: returns random numbers from 0.0 to 1.0 for the backoff.
        clock: returns the time in seconds since 1970.
    """

    base_url: Required[str | None]
    api_key: Required[str | None]
    model: Required[str | None]
    stream: bool
    timeout: float
    max_attempts: int
    max_wait: float
    idle_timeout: float
    max_body_bytes: int
    session: requests.Session | None
    sleep: Callable[[float], object]
    coalesce: Callable[[float], object]
    jitter: Callable[[], float]
    clock: Clock | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderClient:
    """Client that answers queries with the model of a provider. ``ProviderOptions`` describes the options.

    Attributes:
        model: name of the model in the log.
        stream: whether to request streams.
        secret: the API key, which is masked in the log.
        rejected_fields: the fields of requests that the provider turned out not to support.
    """

    adapter: base.ProviderAdapter
    model: str
    stream: bool
    secret: str = field(repr=False)
    transport: ProviderTransport = field(repr=False)
    breaker: retry.CircuitBreaker = field(repr=False)
    budget: retry.RetryBudget = field(repr=False)
    rejected_fields: set[str] = field(default_factory=set)
    max_attempts: int
    max_wait: float
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
        for name in self.rejected_fields:
            body = compatibility.remove(body, name)
        began_at = self.clock()
        deadline = began_at + self.timeout + DEADLINE_MARGIN
        attempts = 0
        repairs: list[compatibility.Repair] = []
        self.budget.deposit()
        while True:
            if open_for := self.breaker.acquire():
                text = _status("circuit_open", query, seconds=math.ceil(open_for))
                raise BackendUnavailable(text, code="overloaded", retry_after=open_for)
            query.report(_status("waiting", query))
            attempts += 1
            attempt_began_at = self.clock()
            try:
                answer = self._attempt(query, body, deadline)
            except errors.ProviderError as error:
                if error.is_outage:
                    self.breaker.record_failure()
                else:
                    self.breaker.record_success()
                detail = errors.mask(error.detail, self.secret)
                query.record_upstream_call(self._upstream_call(body, attempt_began_at, None, error.kind, detail))
                if (repair := self._repair(body, error)) is not None and len(repairs) < MAX_REPAIRS:
                    logger = self._logger
                    logger.info("model %s rejected %s: trying without it (%s)", self.model, repair.field, detail)
                    repairs.append(repair)
                    body = repair.body
                    attempts -= 1
                    continue
                max_wait = self.max_wait - (self.clock() - began_at)
                time_left = deadline - self.clock()
                delay = retry.retry_delay(attempts, error, time_left, self.jitter(), self.max_attempts, max_wait)
                if delay is not None and not self.budget.withdraw():
                    delay = None
                self._log(error.kind, detail, attempts, delay)
                if delay is None:
                    # Without its cause, which may quote the provider, and the provider may quote the key.
                    raise self._to_backend_error(error, body, query) from None
                status = "retry_unreachable" if error.kind in ("unreachable", "broken_off") else "retry_busy"
            except BaseException:  # killed, for instance at the run's deadline; or a defect
                if self.clock() >= deadline - DEADLINE_MARGIN:
                    self.breaker.record_failure()
                stopped = self._upstream_call(body, attempt_began_at, None, "stopped", "stopped before an answer came")
                query.record_upstream_call(stopped)
                raise
            else:
                query.record_upstream_call(self._upstream_call(body, attempt_began_at, answer.raw))
                self.rejected_fields.update(repair.field for repair in repairs if repair.is_lasting)
                return answer
            query.report(_status(status, query, seconds=math.ceil(delay)))
            self.sleep(delay)

    def _repair(self, body: compatibility.Body, error: errors.ProviderError) -> compatibility.Repair | None:
        if error.rejection is None:
            return None
        return compatibility.repair(body, error.rejection, self.adapter.required_fields)

    def _to_backend_error(self, error: errors.ProviderError, body: compatibility.Body, query: Query) -> BackendError:
        error_type = BackendUnavailable if error.fallback_allowed else BackendError
        text = translation(texts.PROVIDER_ERRORS[error.kind], query.locale)
        if error.kind == "refused" and error.rejection is not None:
            parameter = compatibility.find_named_field(body, error.rejection)
            if parameter is not None:
                text = translation(texts.PROVIDER_ERRORS["refused_parameter"], query.locale).format(parameter=parameter)
        return error_type(text, code=errors.MEANINGS.get(error.kind), retry_after=error.retry_after)

    def _attempt(self, query: Query, body: object, deadline: float) -> Answer:
        with self.transport.post(body, deadline, stream=self.stream) as response:
            if response.is_success:
                self.breaker.record_success()  # whether the answer can be used is another matter
            prefix = b""
            if self.stream and response.is_success:
                prefix = read_prefix(response.chunks)
                # A provider without streaming sends a whole answer even where a stream was requested.
                if is_stream(prefix):
                    reader = StreamReader(
                        self.adapter,
                        query,
                        self.clock,
                        idle_timeout=self.idle_timeout,
                        max_chars=self.max_body_bytes,
                        coalesce=self.coalesce,
                    )
                    return reader.read(response, prefix)
            body_read = response.read(self.max_body_bytes, prefix)
            return responses.parse_response(body_read, self.adapter, responses.requested_choices(query))

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger(f"persona_stream.backends.{self.adapter.name}")

    def _log(self, kind: str, detail: str, attempts: int, delay: float | None) -> None:
        outcome = "giving up" if delay is None else f"retrying in {delay:.1f} s"
        if kind in ("credentials", "credit"):
            # The last characters tell keys apart and are of no other use.
            key = f"ends in {self.secret[-4:]}" if len(self.secret) >= 16 else "is set" if self.secret else "is not set"
            outcome += f": check {self.adapter.name}_api_key, which {key}"
        self._logger.warning("attempt %d for model %s failed: %s (%s), %s", attempts, self.model, kind, detail, outcome)

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


def _status(key: str, query: Query, **values: object) -> str:
    return translation(texts.PROVIDER_STATUS[key], query.locale).format(**values)


def make_provider_backend(adapter: base.ProviderAdapter, options: ProviderOptions) -> Backend:
    """Create a backend for a provider.

    Raises:
        ConfigurationError: an option is missing or invalid.
    """
    url = adapter.endpoint(_validate_base_url(options["base_url"], adapter))
    model = options["model"]
    if not model:
        raise ConfigurationError(f"backend {adapter.name} needs a model: set {adapter.name}_model")
    api_key = _validate_api_key(options["api_key"], adapter)
    clock = options.get("clock") or monotonic_wall_clock()
    if session := options.get("session"):
        sessions = SessionPool(session, lambda: nullcontext(session))
    else:
        create_session = session_factory(url)
        sessions = SessionPool(create_session(), create_session)
    breaker = retry.CircuitBreaker(f"provider {adapter.name}, model {model}", clock)
    client = ProviderClient(
        adapter=adapter,
        model=model,
        stream=options.get("stream", False),
        secret=api_key,
        transport=ProviderTransport(url, adapter.headers(api_key), sessions, clock),
        breaker=breaker,
        budget=retry.RetryBudget(),
        max_attempts=options.get("max_attempts", retry.MAX_ATTEMPTS),
        max_wait=options.get("max_wait", MAX_WAIT),
        timeout=options.get("timeout", 150.0),
        idle_timeout=options.get("idle_timeout", 60.0),
        max_body_bytes=options.get("max_body_bytes", 32 * 2**20),
        sleep=options.get("sleep", time.sleep),
        coalesce=options.get("coalesce", time.sleep),
        jitter=options.get("jitter", random.random),
        clock=clock,
    )
    return Backend(
        adapter.name,
        client.complete,
        capabilities=adapter.capabilities,
        is_cooperative=True,
        retry_after=lambda: breaker.open_for,
    )


def _validate_base_url(base_url: str | None, adapter: base.ProviderAdapter) -> str:
    """Return the base URL without a trailing slash."""
    name = adapter.name
    example = adapter.example_url
    if not base_url:
        raise ConfigurationError(f"backend {name} needs the provider's URL: set {name}_base_url, e.g. to {example}")
    try:
        parts = urlsplit(base_url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(f"{name}_base_url is not a valid URL: write it like {example}")
    if parts.username is not None or parts.query or parts.fragment:
        # They would appear in every log line and error with the URL, and a user name would replace the API key.
        raise ConfigurationError(
            f"{name}_base_url must not contain a user name, a query or a fragment: remove everything before @ and "
            "after ? or #"
        )
    return base_url.rstrip("/")


def _validate_api_key(api_key: str | None, adapter: base.ProviderAdapter) -> str:
    """Return the API key without surrounding white space; an empty string if there is none."""
    key = (api_key or "").strip()
    # The HTTP library would reject it at the first request only, in a message that shows the key.
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(
            f"{adapter.name}_api_key has invalid characters: copy it again, without spaces or quotes"
        )
    return key
