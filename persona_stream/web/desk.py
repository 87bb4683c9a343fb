"""What every blueprint may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from persona_stream.clock import Clock
from persona_stream.persona import Persona
from persona_stream.runs import Runs
from persona_stream.settings import Settings
from persona_stream.tokens import Tickets, Verifier
from persona_stream.web.readers import Readers


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Hold what the HTTP side works with.

    Attributes:
        backend: its name.
        personas: by username; ``None`` where any username goes through.
    """

    settings: Settings
    backend: str
    runs: Runs
    verifier: Verifier
    tickets: Tickets
    clock: Clock
    personas: Mapping[str, Persona] | None
    readers: Readers = field(default_factory=Readers)

    def events_url(self, run_id: str) -> str:
        """Give the address where the run can be read, with the ticket that opens it for EventSource."""
        return f"/api/runs/{run_id}/events?ticket={self.tickets.sign(run_id)}"
