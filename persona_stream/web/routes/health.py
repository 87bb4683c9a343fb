"""``/healthz`` and ``/readyz``: what a supervisor and a load balancer ask.

``/metrics``: what Prometheus reads.
"""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET, Struct, UnsetType

from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class Health(Struct, frozen=True):
    """How the process is, in one word; and which stores it needs and cannot reach."""

    status: str
    missing: list[str] | UnsetType = UNSET


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of the operators' addresses."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return json_response(Health("alive"))

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if desk.runs.draining:
            return json_response(Health("draining"), 503)
        if missing := desk.runs.unavailable_services():
            return json_response(Health("unavailable", list(missing)), 503)
        # What is kept for later can wait for its database, and so no request is sent elsewhere for it.
        away = desk.store.unavailable_services()
        return json_response(Health("ready", list(away) if away else UNSET))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        exposition = desk.metrics.render()
        return Response(exposition.body, content_type=exposition.content_type)

    return blueprint
