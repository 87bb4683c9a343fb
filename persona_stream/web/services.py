"""What every blueprint may use."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from persona_stream.auth.tickets import Tickets
from persona_stream.auth.verifier import Verifier
from persona_stream.backends.router import Models
from persona_stream.core.clock import Clock
from persona_stream.db.base import Store
from persona_stream.executors.registry import Executors
from persona_stream.instrumentation.metrics import Meters
from persona_stream.runs.manager import Runs
from persona_stream.settings.schema import Settings
from persona_stream.web.connections import Readers
from persona_stream.web.rate_limit import NoRates, Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
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
    models: Models
    executors: Executors
    runs: Runs
    verifier: Verifier
    tickets: Tickets
    clock: Clock
    store: Store
    meters: Meters
    closing: ExitStack
    rates: Rates = field(default_factory=NoRates)
    readers: Readers = field(default_factory=Readers)

    def events_url(self, run_id: str) -> str:
        """Give the address where the run can be read, with the ticket that opens it for EventSource."""
        return f"/api/runs/{run_id}/events?ticket={self.tickets.sign(run_id)}"
