"""``/healthz``, ``/readyz`` and ``/metrics``: liveness, readiness and Prometheus metrics."""

from functools import partial
from typing import Annotated

from flask import Blueprint, Response
from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web.openapi.operations import Body, Operation, ResponseSpec, Tag
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services


class Health(Struct, frozen=True):
    """Health of the process."""

    status: Annotated[str, Meta(description="`alive`, `ready`, `draining` or `unavailable`.")]
    missing: Annotated[
        list[str] | UnsetType,
        Meta(description="Stores that are unavailable; absent if there are none. Runs do not depend on the database."),
    ] = UNSET


OPERATIONS = Tag("Operations", "Health and metrics, for supervisors, load balancers and Prometheus.")
_METRICS_EXAMPLE = """\
# HELP persona_stream_runs_in_flight Runs that have not ended.
# TYPE persona_stream_runs_in_flight gauge
persona_stream_runs_in_flight{backend="demo"} 3.0
"""
_METRICS = Body(schema=(str,), media_type="text/plain", examples={"metrics": _METRICS_EXAMPLE})
_NOT_READY = ResponseSpec.json(
    "The process is shutting down, or a required store is unavailable: send new runs elsewhere.", Health("draining")
)
_operation = partial(Operation, tags=[OPERATIONS], security=())


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of the operational endpoints."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/healthz")
    @_operation("Check liveness", ResponseSpec.json("The process is alive.", Health("alive")))
    def healthz() -> Response:
        return json_response(Health("alive"))

    @blueprint.get("/readyz")
    @_operation(
        "Check readiness",
        ResponseSpec.json("The process accepts new runs.", Health("ready")),
        responses={503: _NOT_READY},
    )
    def readyz() -> Response:
        if services.runs.draining:
            return json_response(Health("draining"), 503)
        if unavailable := services.runs.unavailable_services():
            return json_response(Health("unavailable", list(unavailable)), 503)
        # Records wait in memory for the database, so its outage does not make the process unready.
        unavailable = services.store.unavailable_services()
        return json_response(Health("ready", list(unavailable) if unavailable else UNSET))

    @blueprint.get("/metrics")
    @_operation(
        "Get metrics",
        ResponseSpec("Metrics in the Prometheus text format, summed over all workers.", [_METRICS]),
        responses={404: ResponseSpec.json("The extra `metrics` is not installed.", ErrorFrame)},
    )
    def metrics() -> Response:
        exposition = services.metrics.render()
        return Response(exposition.body, content_type=exposition.content_type)

    return blueprint
