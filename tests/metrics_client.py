"""Client of ``/metrics``, which parses the exposition as Prometheus does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.server_process import ServerProcess

MetricReader = Callable[..., float]
"""Returns the value for a metric name (without the prefix) and labels; 0 if the series does not exist."""


def scrape(server: ServerProcess) -> MetricReader:
    """Return the metrics of a server at this moment."""
    response = server.get("/metrics", None)
    assert response.status_code == 200, response.text
    return parse_metrics(response.text)


def families(text: str) -> Iterable[Metric]:
    """Yield the metric families of an exposition."""
    return text_string_to_metric_families(text)


def parse_metrics(text: str) -> MetricReader:
    """Parse an exposition."""
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return values.get((f"persona_stream_{name}", frozenset(labels.items())), 0.0)

    return value
