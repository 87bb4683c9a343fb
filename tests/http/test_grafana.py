"""The Grafana dashboard queries metrics, labels and values that a server exports after some traffic."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.backends.fake_provider import completion, provider
from tests.backends.fake_provider import http as reply
from tests.metrics_client import families, scrape
from tests.polling import wait_for
from tests.server_process import ROOT, serve
from tests.sse_client import read

DASHBOARD = json.loads((ROOT / "deploy/grafana/persona_stream.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}

# What Prometheus itself adds to each series.
OF_PROMETHEUS = {"job", "instance"}

_SERIES = re.compile(r"(?P<name>persona_stream_\w+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)(?P<kind>=~|!~|!=|=)"(?P<value>[^"]*)"')
_PART = re.compile(r"_(bucket|sum|count)$")
_BY = re.compile(r"by \(([^)]*)\)")

Labels = Mapping[str, Mapping[str, set[str]]]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labels]:
    """Return the label values of each series after requests of every kind."""
    with provider(reply(503, "busy"), reply(200, completion("Forty-two."))) as behind:
        file: Path = tmp_path_factory.mktemp("settings") / "settings.toml"
        file.write_text(
            f"""
            [backends.asking]
            backend = "openai"
            openai_base_url = "{behind.base_url}"
            openai_model = "m1"
            models = ["asking"]
            """
        )
        server = serve("tests.backends_for_tests:chosen", config=file)
        try:
            for username, message in (("quick", "Hi"), ("failing", "exception"), ("asking", "Hi"), ("echo", "Hi")):
                got = read(server.post("/api/stream_chat_smart", {"username": username, "message": message}))
            read(server.get(f"/api/runs/{got[0].data['run_id']}/events"))
            server.post("/api/chat", {"username": "quick", "message": "Hi"})
            server.post("/api/chat", {})
            with server.post("/api/stream_chat", {"username": "slow", "message": "60"}, stream=True) as left:
                left.raw.read(10)
            gone = {"dialect": "native", "resumed": "false", "whole": "false"}
            wait_for(lambda: scrape(server)("readings_total", **gone) == 1)
            found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
            for family in families(server.get("/metrics", None).text):
                for sample in family.samples:
                    for name, value in sample.labels.items():
                        found[sample.name][name].add(value)
                    found[sample.name].setdefault("", set())
            yield found
        finally:
            server.stop()


def test_every_expression_uses_exported_series(labels: Labels):
    """Names, labels in braces and values in quotes; a variable stands for any value."""
    for expression in EXPRESSIONS:
        series = list(_SERIES.finditer(expression))
        assert series, expression
        for each in series:
            assert each["name"] in labels, each["name"]
            known = labels[each["name"]]
            for label, _, text in _MATCHER.findall(each["matchers"] or ""):
                assert label in known.keys() | OF_PROMETHEUS, expression
                if not text.startswith("$"):
                    assert set(text.split("|")) & known[label], expression


def test_every_grouping_uses_existing_labels(labels: Labels):
    """Grouping by an unknown label would merge all series."""
    for expression in EXPRESSIONS:
        known = {label for each in _SERIES.finditer(expression) for label in labels[each["name"]]}
        for group in _BY.findall(expression):
            assert {label.strip() for label in group.split(",")} <= known | OF_PROMETHEUS, expression


def test_every_legend_names_the_grouping_labels():
    """Otherwise lines would have no names."""
    for panel in PANELS:
        for target in panel["targets"]:
            grouped = {label.strip() for group in _BY.findall(target["expr"]) for label in group.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == grouped - {"le"}, panel["title"]


def test_every_metric_has_a_panel(labels: Labels):
    """A new metric needs a panel."""
    asked = {each["name"] for expression in EXPRESSIONS for each in _SERIES.finditer(expression)}
    assert {_PART.sub("", name) for name in asked} == {_PART.sub("", name) for name in labels}


def test_every_panel_uses_the_selected_data_source():
    """Every panel and every query variable uses the selected data source."""
    assert VARIABLES["datasource"]["type"] == "datasource"
    for panel in (*PANELS, *(each for each in VARIABLES.values() if each["type"] == "query")):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(DASHBOARD)))
    assert used == set(VARIABLES)


def test_panels_do_not_overlap():
    """They do not overlap, and have different titles."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_variables_use_existing_labels(labels: Labels):
    """Their values come from exported series."""
    for variable in VARIABLES.values():
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert found[2] in labels[found[1]].keys() | OF_PROMETHEUS
