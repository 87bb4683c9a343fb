"""Read /metrics as Prometheus does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import Served

Seen = Callable[..., float]
"""Gives the value for a name, without our prefix, and labels; 0 where there is none."""


def scrape(server: Served) -> Seen:
    """Look once."""
    response = server.get("/metrics", None)
    assert response.status_code == 200, response.text
    return seen(response.text)


def families(text: str) -> Iterable[Metric]:
    """Give each metric."""
    return text_string_to_metric_families(text)


def seen(text: str) -> Seen:
    """Read what was written down."""
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return values.get((f"persona_stream_{name}", frozenset(labels.items())), 0.0)

    return value
