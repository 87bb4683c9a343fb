"""``/healthz`` and ``/readyz``: what a supervisor and a load balancer ask.

``/metrics``: what Prometheus reads.
"""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET, Struct, UnsetType

from persona_stream.web.responses import json_answer
from persona_stream.web.services import Desk


class Health(Struct, frozen=True):
    """How the process is, in one word; and which stores it needs and cannot reach."""

    status: str
    missing: list[str] | UnsetType = UNSET


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of the operators' addresses."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return json_answer(Health("alive"))

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if desk.runs.draining:
            return json_answer(Health("draining"), 503)
        if missing := desk.runs.missing():
            return json_answer(Health("unavailable", list(missing)), 503)
        # What is kept for later can wait for its database, and so no request is sent elsewhere for it.
        away = desk.store.missing()
        return json_answer(Health("ready", list(away) if away else UNSET))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        exposition = desk.meters.exposition()
        return Response(exposition.body, content_type=exposition.content_type)

    return blueprint
