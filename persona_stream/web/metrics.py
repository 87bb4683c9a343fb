"""``/metrics``: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.web.desk import Desk


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of ``/metrics``."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        exposition = desk.meters.exposition()
        return Response(exposition.body, content_type=exposition.content_type)

    return blueprint
