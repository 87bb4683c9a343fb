"""Our own server as a client sees it, over the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        url: where.
        token: who asks.
        log: what it says.
    """

    url: str
    token: str
    log: Path

    def ask(self, endpoint: str, **fields: object) -> requests.Response:
        """Send a query, in English unless it says otherwise."""
        body = {"username": "ada", "message": "How many?", "locale": "en"} | fields
        headers = {"Authorization": f"Bearer {self.token}"}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"{self.url}/api/{endpoint}", json=body, headers=headers, timeout=60)

    def events(self, endpoint: str, **fields: object) -> list[dict[str, Any]]:
        """Send a query, and give the events of its stream when it has ended."""
        response = self.ask(endpoint, **fields)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        # bytes.splitlines knows \r and \n alone, as the standard does.
        return [json.loads(line[5:]) for line in response.content.splitlines() if line.startswith(b"data:")]
