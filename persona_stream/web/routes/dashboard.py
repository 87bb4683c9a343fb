"""``/dashboard``: login, and the API of the dashboard with the request log, statistics and administration.

Timestamps are Unix times, which the page's charts need.
"""

import math
from collections.abc import Sequence
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from msgspec import Meta, Struct, json, structs

from persona_stream.core.facts import has_ended, run_terms
from persona_stream.db import base, models
from persona_stream.errors import Forbidden, Gone, InvalidRequest, NotFound, Unauthorized, Unavailable
from persona_stream.protocols.native.schemas import Success
from persona_stream.web import auth, parsing, responses
from persona_stream.web.openapi import Body, ErrorSpec, Operation, Parameter, ResponseSpec, components
from persona_stream.web.routes.health import WorkerHealth, list_workers
from persona_stream.web.services import Services

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_FILTER_CHARACTERS = 200
MAX_TIMESTAMP = 253_402_300_799.0  # the end of the year 9999
DEFAULT_RANGE = 86_400.0  # seconds
MAX_DELIVERY_TIME = 60.0  # seconds
OWNER_BATCH = 100  # runs
# Imported on use: they need SQLAlchemy, which a server without a database may lack.
_queries = partial(import_module, "persona_stream.db.queries")
_statistics = partial(import_module, "persona_stream.db.statistics")


class Login(Struct, frozen=True):
    """Login form."""

    token: Annotated[str, Meta(description="JSON Web Token with the scope `admin`.")]


class Ok(Success, frozen=True, kw_only=True):
    """Confirmation without further data."""


class Session(Success, frozen=True, kw_only=True):
    """Login state of the dashboard."""

    user: Annotated[str | None, Meta(description="User that is logged in, or `null`.")]
    has_log: Annotated[bool, Meta(description="Whether the server keeps a request log.")]
    has_workers: Annotated[bool, Meta(description="Whether queries run in workers on other machines.")]


class WorkerView(WorkerHealth, frozen=True, kw_only=True):
    """Process of a worker on another machine, as the operator sees it."""

    pid: Annotated[int, Meta(description="Process id.")]
    queues: Annotated[Sequence[str], Meta(description="Queues that it consumes.")]


class Workers(Success, frozen=True, kw_only=True):
    """Processes of workers on other machines."""

    workers: Annotated[Sequence[WorkerView], Meta(description="Processes that are alive.")]


class Page(Success, frozen=True, kw_only=True):
    """Page of runs. Timestamps in the dashboard API are Unix times."""

    runs: Annotated[Sequence[models.RunRow], Meta(description="Runs of this page, newest first.")]
    errors: Annotated[dict[str, str], Meta(description="Error texts of the failed runs of this page, by run id.")]
    questions: Annotated[
        dict[str, str], Meta(description="Open questions of runs that this process executes, by run id.")
    ]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]
    now: Annotated[float, Meta(description="Current time of the server.")]


class RunDetail(Success, frozen=True, kw_only=True):
    """Request log of one run."""

    run: Annotated[models.RunRecord, Meta(description="Columns of the run.")]
    texts: Annotated[models.RunTexts, Meta(description="Texts, headers and steps of the run.")]
    events_url: Annotated[
        str | None, Meta(description="URL of the run's event stream, or `null` if it is no longer available.")
    ]
    now: Annotated[float, Meta(description="Current time of the server.")]


class ProgressAccuracy(Struct, frozen=True):
    """Accuracy of the percentages and remaining times of a backend's latest runs in this process."""

    backend: Annotated[str, Meta(description="Name of the backend.")]
    runs: Annotated[int, Meta(description="Number of runs, at most 200.")]
    error: Annotated[float, Meta(description="Mean difference from the true percentage, in points.")]
    best_error: Annotated[float, Meta(description="The same for the best curve of the elapsed time of these runs.")]
    stuck: Annotated[float, Meta(description="Share of the time at the highest percentage, 0 to 1.")]
    coverage: Annotated[
        float | None, Meta(description="Share of the moments at which the 80 % range had the true remaining time.")
    ]


class Statistics(Success, frozen=True, kw_only=True):
    """Statistics of a time range."""

    chart: Annotated[models.Chart, Meta(description="Totals and time series.")]
    progress: Annotated[Sequence[ProgressAccuracy], Meta(description="Accuracy of the progress, by backend.")]
    now: Annotated[float, Meta(description="Current time of the server.")]


class FilterOptionsView(Success, frozen=True, kw_only=True):
    """Values that runs can be filtered by."""

    choices: Annotated[models.FilterOptions, Meta(description="Values per filter.")]


class ColumnsView(Success, frozen=True, kw_only=True):
    """Columns of a run: their headings, formats, and places on the page."""

    columns: Annotated[Sequence[models.LogColumn], Meta(description="Columns of a run, in order.")]


_login_decoder = json.Decoder(Login)

NOT_ADMIN = ErrorSpec(
    Forbidden("This token lacks the scope 'admin'"),
    "The token lacks the scope `admin`, or the request comes from another site's page.",
    name="NotAdmin",
)
_ADMIN = ("bearer", "admin")
_LOCAL_ERRORS = (components.UNAUTHORIZED, NOT_ADMIN, components.INTERNAL)
ERRORS = (*_LOCAL_ERRORS, components.UNAVAILABLE)
_QUERY_ERRORS = (*ERRORS, components.INVALID_REQUEST)
_FilterText = Annotated[str, Meta(max_length=MAX_FILTER_CHARACTERS)]
_Seconds = Annotated[float, Meta(ge=0, le=MAX_TIMESTAMP)]


_filter = partial(Parameter, "query", type=_FilterText)
_SINCE = _filter("since", "Start of the time range (Unix time).", type=_Seconds)
_UNTIL = _filter("until", "End of the time range (Unix time).", type=_Seconds)
_FILTERS = (
    _filter("status", "States of the runs; any of them matches.", type=list[str]),
    _filter("failed", "`1` for runs that failed.", type=Literal["1"]),
    _filter("user", "Caller or persona."),
    _filter("endpoint", "Endpoint that received the request."),
    _filter("model", "Model that answered."),
    _filter("conversation", "Conversation id."),
    _filter("slow", "Minimum duration in seconds.", type=_Seconds),
    _filter(
        "search",
        "Text in the beginning of the question, or in the name of the caller, the persona or the run. A page may be"
        " empty and still have a next one, because a search scans some thousands of runs at a time.",
    ),
    _SINCE,
    _UNTIL,
    components.limit_parameter("runs", MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE),
    components.next_page_parameter("before", _FilterText),
)
_USER = Parameter("query", "name", "User: the `sub` of their token.", Annotated[str, Meta(min_length=1)], required=True)
_OWN_PAGE = Parameter(
    "header",
    auth.DASHBOARD_HEADER,
    "Any value. Browsers send this header only for the dashboard's own page, which prevents CSRF.",
    required=True,
)
# The responses are internal to the page: docs/DASHBOARD.md describes them, and the document only `success`.
_operation = partial(
    Operation,
    response=ResponseSpec.json("The result.", Ok),
    tags=[components.DASHBOARD_TAG],
    security=_ADMIN,
    errors=ERRORS,
)
_login_operation = partial(Operation, tags=[components.DASHBOARD_TAG], security=())


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of the dashboard's login and API."""
    blueprint = Blueprint("dashboard", __name__)

    @cache
    def time_series() -> Any:
        settings = services.settings
        return _statistics().TimeSeries(
            services.clock, settings.longest_timeout + settings.queue_timeout + MAX_DELIVERY_TIME
        )

    @blueprint.post(f"{auth.DASHBOARD_PATH}/login")
    @_login_operation(
        "Log in",
        ResponseSpec.json("The user is logged in.", Ok),
        "Sets a cookie that expires with the token.",
        parameters=[_OWN_PAGE],
        request=Body.json(Login),
        errors=(*ERRORS, *components.BODY_ERRORS),
    )
    def dashboard_login() -> Response:
        auth.check_origin(request)
        token = parsing.parse_json_body(request, _login_decoder).token
        response = responses.json_response(Ok())
        auth.set_session_cookie(response, request, services.verifier, token)
        return response

    @blueprint.post(f"{auth.DASHBOARD_PATH}/logout")
    @_login_operation(
        "Log out", ResponseSpec.json("The user is logged out.", Ok), parameters=[_OWN_PAGE], errors=[NOT_ADMIN]
    )
    def dashboard_logout() -> Response:
        auth.check_origin(request)
        response = responses.json_response(Ok())
        auth.clear_session_cookie(response, request)
        return response

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/session")
    @_operation("Get the login state", security=(*_ADMIN, ""), errors=_LOCAL_ERRORS)
    def dashboard_session() -> Response:
        user = None
        try:
            user = auth.authenticate_admin(request, services.verifier).subject
        except Unauthorized:
            if auth.has_token(request):
                raise
        return _json(
            Session(
                user=user,
                has_log=services.store.has_database,
                has_workers=services.settings.executor == "celery",
            )
        )

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/runs")
    @_operation("List runs of the request log", parameters=_FILTERS, errors=_QUERY_ERRORS)
    def dashboard_runs() -> Response:
        auth.authenticate_admin(request, services.verifier)
        filters = parse_filters()
        before = _text("before")
        limit = parsing.page_limit(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)

        def query(connection: Any) -> tuple[Sequence[models.RunRow], dict[str, str], str | None]:
            runs, following = _queries().list_runs(connection, filters, before, limit)
            failed = [run.run_id for run in runs if run.status in models.FAILED]
            errors = _queries().error_texts(connection, failed) if failed else {}
            return runs, errors, following

        runs, errors, following = services.store.query(query)
        asked = {run.run_id: services.runs.open_question(run.run_id) for run in runs}
        questions = {run_id: question for run_id, question in asked.items() if question is not None}
        return _json(Page(runs=runs, errors=errors, questions=questions, next=following, now=services.clock()))

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/runs/<run_id>")
    @_operation(
        "Get a run of the request log",
        parameters=[components.RUN_ID_IN_PATH],
        errors=(*ERRORS, components.RUN_NOT_FOUND),
    )
    def dashboard_run(run_id: str) -> Response:
        auth.authenticate_admin(request, services.verifier)
        found = services.store.query(lambda connection: _queries().get_run(connection, run_id))
        if found is None:
            services.store.flush()  # the record of a new run may still be in the write queue
            found = services.store.query(lambda connection: _queries().get_run(connection, run_id))
        if found is None:
            raise NotFound("Run not found in the request log")
        run, texts = found
        return _json(RunDetail(run=run, texts=texts, events_url=_events_url(services, run_id), now=services.clock()))

    @blueprint.post(f"{auth.DASHBOARD_PATH}/api/runs/<run_id>/cancel")
    @_operation(
        "Cancel a run of any user",
        parameters=[components.RUN_ID_IN_PATH],
        errors=(*ERRORS, components.RUN_NOT_FOUND, components.RUN_GONE),
    )
    def dashboard_cancel(run_id: str) -> Response:
        auth.authenticate_admin(request, services.verifier, changes=True)
        services.runs.cancel(services.runs.follow(run_id, None))
        return _json(Ok())

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/stats")
    @_operation("Get statistics", parameters=(_SINCE, _UNTIL), errors=_QUERY_ERRORS)
    def dashboard_stats() -> Response:
        auth.authenticate_admin(request, services.verifier)
        now = services.clock()
        until = min(parse_seconds("until") or now, now)
        start = parse_seconds("since")
        since = until - DEFAULT_RANGE if start is None else start
        if since >= until:
            raise InvalidRequest("since: must be before until and in the past")
        chart = services.store.query(lambda connection: time_series().build(connection, since, until))
        accuracy = services.runs.forecasts.accuracy()
        progress = [ProgressAccuracy(name, *structs.astuple(each)) for name, each in accuracy.items()]
        return _json(Statistics(chart=chart, progress=progress, now=now))

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/workers")
    @_operation("List workers on other machines", errors=_LOCAL_ERRORS)
    def dashboard_workers() -> Response:
        auth.authenticate_admin(request, services.verifier)
        return _json(Workers(workers=list_workers(services, WorkerView)))

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/choices")
    @_operation("List filter options")
    def dashboard_choices() -> Response:
        auth.authenticate_admin(request, services.verifier)
        options = services.store.query(lambda connection: _queries().filter_options(connection))
        return _json(FilterOptionsView(choices=options))

    @blueprint.get(f"{auth.DASHBOARD_PATH}/api/columns")
    @_operation("List the columns of runs", errors=_LOCAL_ERRORS)
    def dashboard_columns() -> Response:
        auth.authenticate_admin(request, services.verifier)
        return _json(ColumnsView(columns=models.RUN_COLUMNS))

    @blueprint.delete(f"{auth.DASHBOARD_PATH}/api/users")
    @_operation("Delete all data of a user", parameters=[_USER], errors=_QUERY_ERRORS)
    def dashboard_forget() -> Response:
        auth.authenticate_admin(request, services.verifier, changes=True)
        owner = request.args.get("name", "")
        if not owner:
            raise InvalidRequest("name: is required")
        _cancel_all(services, owner)
        services.store.enqueue(base.DeletedOwner(owner))
        services.store.flush()
        return _json(Ok())

    return blueprint


def parse_filters() -> models.RunFilters:
    """Return the filters in the query of the current request.

    Raises:
        InvalidRequest: a value is not a number where it must be, or is too long.
    """
    failed = request.args.get("failed")
    if failed not in (None, "1"):
        raise InvalidRequest("failed: must be 1 or absent")
    return models.RunFilters(
        statuses=(*request.args.getlist("status"), *(models.FAILED if failed else ())),
        user=_text("user"),
        endpoint=_text("endpoint"),
        model=_text("model"),
        conversation=_text("conversation"),
        slow=parse_seconds("slow"),
        since=parse_seconds("since"),
        until=parse_seconds("until"),
        search=_text("search"),
    )


def parse_seconds(name: str) -> float | None:
    """Return a Unix time or a duration in the query of the current request, in seconds.

    Raises:
        InvalidRequest: the value is not such a number.
    """
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_TIMESTAMP:
        raise InvalidRequest(f"{name}: must be a number of seconds")
    return value


def _text(name: str) -> str | None:
    text = request.args.get(name, "")
    if len(text) > MAX_FILTER_CHARACTERS:
        raise InvalidRequest(f"{name}: must have at most {MAX_FILTER_CHARACTERS} characters")
    # PostgreSQL rejects NUL in text, and no stored text contains it.
    return text.replace("\0", "") or None


def _events_url(services: Services, run_id: str) -> str | None:
    """Return the URL of the run's event stream, or ``None`` if only the request log still has the run."""
    try:
        services.runs.find(run_id, None)
    except (NotFound, Gone, Unavailable):
        return None
    return services.url_signer.events_url(run_id, responses.url_prefix(request))


def _cancel_all(services: Services, owner: str) -> None:
    """Cancel the active runs of a user; otherwise their records would be written after the deletion."""
    before: str | None = None
    while True:
        journals, before = services.runs.list_for_owner(owner, before, OWNER_BATCH)
        for journal in journals:
            if not has_ended(journal.entries):
                services.runs.cancel(services.runs.follow(run_terms(journal.entries).run_id, None))
        if before is None:
            return


def _json(body: object) -> Response:
    response = responses.json_response(body)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
