"""``/healthz`` and ``/readyz``: what a supervisor and a load balancer ask.

``/metrics``: what Prometheus reads.
"""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response
from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class Health(Struct, frozen=True):
    """Health of the process."""

    status: Annotated[str, Meta(description="`alive`, `ready`, `draining` or `unavailable`.")]
    missing: Annotated[
        list[str] | UnsetType,
        Meta(description="Stores that are unavailable; absent if there are none. Runs do not depend on the database."),
    ] = UNSET


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
