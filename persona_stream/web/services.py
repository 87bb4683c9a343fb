"""The services that all routes depend on."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from persona_stream.auth.jwt import TokenVerifier
from persona_stream.auth.tickets import RunURLSigner
from persona_stream.backends.router import ModelRouter
from persona_stream.core.clock import Clock
from persona_stream.db.base import Store
from persona_stream.executors.registry import ExecutorRegistry
from persona_stream.instrumentation.metrics import Metrics
from persona_stream.runs.manager import RunManager
from persona_stream.settings.schema import Settings
from persona_stream.web.connections import StreamRegistry
from persona_stream.web.rate_limit import NullRateLimiter, RateLimiter

EXTENSION = "persona_stream"
"""Key of the services in ``Flask.extensions``, for blueprints that are registered from outside the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Services of one application.

    Attributes:
        settings: Settings of the server.
        router: Backend of each persona or model name.
        executors: Executor of each backend.
        runs: Manager of the runs.
        verifier: Verifier of tokens.
        url_signer: Signer of run URLs.
        clock: Clock of the journals.
        store: Store of conversations and the request log.
        metrics: Metrics beside those of runs.
        closing: Callbacks for the end of the process.
        rate_limiter: Rate limiter of callers.
        streams: Registry of open streams.
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
        """Return the URL of a run's stream, with a ticket for clients that cannot send headers."""
        return f"/api/runs/{run_id}/events?ticket={self.url_signer.sign(run_id)}"
