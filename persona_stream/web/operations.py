"""``/healthz`` and ``/readyz``: what a supervisor and a load balancer ask."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET, Struct, UnsetType

from persona_stream.dialects.writing import to_json
from persona_stream.web.desk import Desk


class Health(Struct, frozen=True):
    """How the process is, in one word; and which stores it needs and cannot reach."""

    status: str
    missing: list[str] | UnsetType = UNSET


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of the operators' addresses."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _health(200, Health("alive"))

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if desk.runs.draining:
            return _health(503, Health("draining"))
        if missing := desk.runs.missing():
            return _health(503, Health("unavailable", list(missing)))
        return _health(200, Health("ready"))

    return blueprint


def _health(status: int, health: Health) -> Response:
    return Response(to_json(health), status, content_type="application/json")
