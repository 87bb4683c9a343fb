"""The services that all routes depend on."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from persona_stream.auth import base, tickets
from persona_stream.backends.router import ModelRouter
from persona_stream.core.clock import Clock
from persona_stream.core.projection import STYLES, StreamStyle
from persona_stream.db.base import Store
from persona_stream.executors.registry import ExecutorRegistry
from persona_stream.instrumentation.metrics import Metrics
from persona_stream.runs.manager import RunManager
from persona_stream.settings.schema import Settings
from persona_stream.web import connections, rate_limit

EXTENSION = "persona_stream"
"""Key of the services in ``Flask.extensions``, for blueprints that are registered from outside the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Services of one application."""

    settings: Settings
    router: ModelRouter
    executors: ExecutorRegistry
    runs: RunManager
    verifier: base.Verifier
    url_signer: tickets.RunURLSigner
    clock: Clock  # of the journals
    store: Store
    metrics: Metrics  # beside those of runs
    closing: ExitStack  # callbacks for the end of the process
    rate_limiter: rate_limit.RateLimiter = field(default_factory=rate_limit.RateLimiter)
    timeouts: Mapping[str, float] = field(default_factory=dict)  # deadlines of runs by path, if not the server's own
    styles: Mapping[str, StreamStyle] = field(default_factory=lambda: STYLES)  # by name
    streams: connections.StreamRegistry = field(default_factory=connections.StreamRegistry)
