"""What every blueprint may use."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from persona_stream.auth.tickets import RunURLSigner
from persona_stream.auth.verifier import TokenVerifier
from persona_stream.backends.router import ModelRouter
from persona_stream.core.clock import Clock
from persona_stream.db.base import Store
from persona_stream.executors.registry import ExecutorRegistry
from persona_stream.instrumentation.metrics import Metrics
from persona_stream.runs.manager import RunManager
from persona_stream.settings.schema import Settings
from persona_stream.web.connections import StreamRegistry
from persona_stream.web.rate_limit import NullRateLimiter, RateLimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Hold what the HTTP side works with.

    Attributes:
        models: who answers to which name.
        executors: where queries run.
        rates: how often callers may ask.
        store: what keeps conversations and the request log.
        meters: what is measured beside the runs.
        closing: what is to be let go of when the process stops serving.
    """

    settings: Settings
    router: ModelRouter
    executors: ExecutorRegistry
    runs: RunManager
    verifier: TokenVerifier
    url_signer: RunURLSigner
    clock: Clock
    store: Store
    metrics: Metrics
    closing: ExitStack
    rate_limiter: RateLimiter = field(default_factory=NullRateLimiter)
    streams: StreamRegistry = field(default_factory=StreamRegistry)

    def events_url(self, run_id: str) -> str:
        """Give the address where the run can be read, with the ticket that opens it for EventSource."""
        return f"/api/runs/{run_id}/events?ticket={self.url_signer.sign(run_id)}"
