"""Endpoints for supervisors, load balancers and Prometheus: ``/healthz``, ``/readyz`` and ``/metrics``."""

from functools import partial
from typing import Annotated, TypeVar

from flask import Blueprint, Response
from msgspec import UNSET, Meta, Struct, UnsetType, convert, structs

from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web import responses
from persona_stream.web.openapi import Body, Operation, ResponseSpec, Tag
from persona_stream.web.services import Services


class WorkerHealth(Struct, frozen=True, kw_only=True):
    """Process of a worker on another machine."""

    host: Annotated[str, Meta(description="Host name.")]
    pool: Annotated[str, Meta(description="How it runs queries: `prefork` or `gevent`.")]
    slots: Annotated[int, Meta(description="How many queries it runs concurrently.")]
    running: Annotated[int, Meta(description="How many it runs now.")]
    silent: Annotated[float, Meta(description="Seconds since its last heartbeat.")]


Worker = TypeVar("Worker", bound=WorkerHealth)


def list_workers(services: Services, form: type[Worker]) -> list[Worker]:
    """Return the workers on other machines that are alive, each as a ``form``."""
    now = services.clock()
    return [
        convert({**structs.asdict(each), "silent": round(max(0.0, now - each.seen_at), 1)}, form)
        for each in services.executors.workers()
    ]


class Health(Struct, frozen=True):
    """Health of the process."""

    status: Annotated[str, Meta(description="`alive`, `ready`, `draining` or `unavailable`.")]
    missing: Annotated[
        list[str] | UnsetType,
        Meta(description="Stores that are unavailable; absent if there are none. Runs do not depend on the database."),
    ] = UNSET
    problems: Annotated[
        list[str] | UnsetType,
        Meta(description="Problems of the processes that run the queries; absent if there are none."),
    ] = UNSET
    workers: Annotated[
        list[WorkerHealth] | UnsetType, Meta(description="Processes of Celery workers; absent without them.")
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
    """Return the blueprint of the health endpoints and the metrics."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    @_operation("Check liveness", ResponseSpec.json("The process is alive.", Health("alive")))
    def healthz() -> Response:
        return responses.json_response(Health("alive"))

    @blueprint.get("/readyz")
    @_operation(
        "Check readiness",
        ResponseSpec.json("The process accepts new runs.", Health("ready")),
        responses={503: _NOT_READY},
    )
    def readyz() -> Response:
        if services.runs.draining:
            return responses.json_response(Health("draining"), 503)
        if unavailable := services.runs.unavailable_services():
            return responses.json_response(Health("unavailable", list(unavailable)), 503)
        # Records wait in memory for the database, so its outage does not make the process unready; damage is repaired
        # by the operator alone, while the records of new runs would be dropped.
        unavailable = services.store.unavailable_services()
        if services.store.is_damaged:
            return responses.json_response(Health("unavailable", list(unavailable)), 503)
        problems = services.executors.problems()
        workers = list_workers(services, WorkerHealth)
        health = Health("ready", list(unavailable) or UNSET, list(problems) or UNSET, workers or UNSET)
        return responses.json_response(health)

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
