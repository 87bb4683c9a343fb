"""The table of docs/METRICS.md."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from persona_stream.instrumentation.prometheus import Instruments, PrometheusMetrics
from tests.documents import Document
from tests.metrics_client import families

METRICS = Document("docs/METRICS.md")


def rows() -> dict[str, tuple[str, str, str]]:
    """Return type, labels and meaning of each metric in the table."""
    return {cells[0]: (cells[1], cells[2], cells[3]) for cells in METRICS.rows() if len(cells) == 4}


def test_the_table_equals_the_code():
    """It has every metric with its type, labels and help text, and no other."""
    instruments = Instruments(CollectorRegistry())
    made = [*vars(instruments).values(), *instruments.gauges.values()]
    labels = {each._name: each._labelnames for each in made if isinstance(each, MetricWrapperBase)}
    metrics = PrometheusMetrics()
    metrics.register_gauges({}, {"journals": lambda: ()})
    expected = {}
    for family in families(metrics.render().body.decode()):
        name = family.name + "_total" * (family.type == "counter")
        of = labels.get(family.name, ("store",))
        expected[name.removeprefix("persona_stream_")] = (family.type, ", ".join(of), family.documentation)
    found = rows()
    del found["metric"], found["---"]
    assert found == expected
