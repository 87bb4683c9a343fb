"""Timed events, with which a client measures the path between it and the server: ``/api/doctor/stream``.

The server fetches nothing. ``persona-stream doctor`` compares the moment in each event with that of its arrival. The
dashboard does so in a browser; its measurements come back to ``/dashboard/api/doctor`` for the same diagnosis.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

from flask import Blueprint, Response, request
from msgspec import Meta, Struct, json

from persona_stream.client import diagnosis
from persona_stream.client.texts import Language
from persona_stream.concurrency import Wakeup
from persona_stream.core import sse
from persona_stream.core.clock import Clock, system_clock
from persona_stream.errors import InvalidRequest, Overloaded
from persona_stream.protocols.base import dump_json
from persona_stream.protocols.native.schemas import Success
from persona_stream.web import auth, delivery, parsing, responses
from persona_stream.web.openapi import Body, Operation, Parameter, ResponseSpec, Tag, components
from persona_stream.web.services import Services

MAX_SECONDS = 120
MAX_STREAMS = 10  # at once
INTERVAL = 1.0  # seconds between events


class Measurements(Struct, frozen=True):
    """What the page measured."""

    ticking: Annotated[diagnosis.Measurement, Meta(description="Stream with an event a second.")]
    silences: Annotated[
        Sequence[diagnosis.Measurement], Meta(max_length=MAX_STREAMS, description="Streams that were silent at first.")
    ] = ()
    locale: Annotated[Language, Meta(description="Language of the findings.")] = "en"


class Diagnosis(Success, frozen=True, kw_only=True):
    """Findings about the path."""

    findings: Annotated[Sequence[diagnosis.Finding], Meta(description="Findings, in the order of the measurements.")]


_decoder = json.Decoder(Measurements)
_EXAMPLE = Measurements(
    ticking=diagnosis.Measurement(
        status=200, headers={"content-type": diagnosis.MEDIA_TYPE}, delays=(0.02, 0.03), lasted=1.0, is_complete=True
    )
)
_TAG = Tag("Path doctor", "Measurement of the path between client and server.")
_EVENTS = ResponseSpec.text("Events with the server's time, one a second.", diagnosis.MEDIA_TYPE)
_PARAMETERS = (
    Parameter("query", "seconds", f"Seconds with events, at most {MAX_SECONDS} (10)."),
    Parameter("query", "silent", f"Seconds of silence before them, at most {MAX_SECONDS} (0)."),
)
_STREAM_ERRORS = (*components.COMMON_ERRORS, components.INVALID_REQUEST, components.BUSY)
_dashboard_operation = partial(Operation, tags=[components.DASHBOARD_TAG], security=("bearer", "admin"))


def blueprint(services: Services, clock: Clock | None = None) -> Blueprint:
    """Return the blueprint of the path doctor."""
    blueprint = Blueprint("doctor", __name__)
    clock = clock or system_clock()
    running: set[object] = set()

    @blueprint.get("/api/doctor/stream")
    @Operation(
        "Get timed events",
        _EVENTS,
        "After `silent` seconds without a byte, events follow for `seconds`. Each has the moment at which it was sent:"
        ' `{"success":true,"data":"","status":"probe","sent_at":1796083200.25,"is_complete":false}`. `persona-stream'
        " doctor` compares them with their arrival.",
        tags=[_TAG],
        parameters=_PARAMETERS,
        errors=_STREAM_ERRORS,
    )
    def doctor_stream() -> Response:
        auth.authenticate_and_limit(request, services)
        return stream()

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/doctor/stream")
    @_dashboard_operation("Get timed events", _EVENTS, parameters=_PARAMETERS, errors=_STREAM_ERRORS)
    def dashboard_doctor_stream() -> Response:
        auth.authenticate_admin(request, services.verifier)
        return stream()

    @blueprint.post(f"{auth.DASHBOARD_PATH}/api/doctor")
    @_dashboard_operation(
        "Diagnose measurements",
        ResponseSpec.json("The findings.", Diagnosis(findings=diagnosis.diagnose(_EXAMPLE.ticking, ()))),
        request=Body.json(Measurements, measured=_EXAMPLE),
        errors=(*components.COMMON_ERRORS, *components.BODY_ERRORS),
    )
    def dashboard_doctor() -> Response:
        auth.authenticate_admin(request, services.verifier, changes=True)
        measured = parsing.parse_json_body(request, _decoder)
        findings = diagnosis.diagnose(measured.ticking, measured.silences, measured.locale)
        return responses.json_response(Diagnosis(findings=findings))

    def stream() -> Response:
        seconds = _bounded("seconds", 10)
        silent = _bounded("silent", 0)
        if len(running) >= MAX_STREAMS:
            raise Overloaded(f"{MAX_STREAMS} measurements are running; retry in 10 s", retry_after=10)
        mark = object()
        running.add(mark)
        response = Response(probe_events(clock, seconds, silent), content_type="text/event-stream; charset=utf-8")
        delivery.disable_buffering(response)
        response.call_on_close(lambda: running.discard(mark))
        return response

    return blueprint


def probe_events(clock: Clock, seconds: float, silent: float) -> Iterator[bytes]:
    """Yield an event a second for ``seconds``, after ``silent`` seconds without a byte."""
    if silent:
        Wakeup().wait(silent)
    for left in range(int(seconds), -1, -1):
        yield _probe(clock, is_complete=left == 0)
        if left:
            Wakeup().wait(INTERVAL)


def _probe(clock: Clock, *, is_complete: bool) -> bytes:
    body = {"success": True, "data": "", "status": "probe", "sent_at": round(clock(), 3), "is_complete": is_complete}
    return sse.encode(sse.ServerSentEvent(dump_json(body)))


def _bounded(name: str, default: int) -> int:
    value = parsing.query_int(name, default)
    if value > MAX_SECONDS:
        raise InvalidRequest(f"{name}: must be at most {MAX_SECONDS}")
    return value
