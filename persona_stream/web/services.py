"""The services that all routes depend on."""

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
from persona_stream.web.rate_limit import RateLimiter

EXTENSION = "persona_stream"
"""Key of the services in ``Flask.extensions``, for blueprints that are registered from outside the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Services of one application."""

    settings: Settings
    router: ModelRouter
    executors: ExecutorRegistry
    runs: RunManager
    verifier: TokenVerifier
    url_signer: RunURLSigner
    clock: Clock  # of the journals
    store: Store
    metrics: Metrics  # beside those of runs
    closing: ExitStack  # callbacks for the end of the process
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    streams: StreamRegistry = field(default_factory=StreamRegistry)
