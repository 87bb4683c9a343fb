"""``/healthz`` and ``/readyz``: what a supervisor and a load balancer ask."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import Struct

from persona_stream.dialects.native import to_json
from persona_stream.web.desk import Desk


class Health(Struct, frozen=True):
    """How the process is, in one word."""

    status: str


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of the operators' addresses."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return Response(to_json(Health("alive")), content_type="application/json")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        status, word = (503, "draining") if desk.runs.draining else (200, "ready")
        return Response(to_json(Health(word)), status, content_type="application/json")

    return blueprint
