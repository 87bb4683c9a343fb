"""``/dashboard/api``: what the page asks for.

What the query of a request asks the log for.

What the page of the dashboard is told. Moments are seconds since 1970: it draws with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.db.base import NullStore
from persona_stream.db.models import FAILED, Chart, FilterOptions, RunFilters, RunRecord, RunRow, RunTexts
from persona_stream.db.records import DeletedOwner
from persona_stream.errors import Gone, InvalidRequest, NotFound, Unavailable
from persona_stream.journals.base import has_ended, run_terms
from persona_stream.web.dashboard_auth import PATH, authenticate_admin, has_token
from persona_stream.web.parsing import page_limit
from persona_stream.web.responses import json_response
from persona_stream.web.services import Services

_PAGE, _LARGEST_PAGE = 50, 200
_LONGEST = 200  # characters
YEAR_9999 = 253_402_300_799.0


def parse_filters() -> RunFilters:
    """Say which runs are wanted.

    Raises:
        InvalidRequest: a number is none, or a text too long.
    """
    statuses = tuple(request.args.getlist("status"))
    if _switch("failed"):
        statuses += FAILED
    return RunFilters(
        statuses=statuses,
        user=_text("user"),
        endpoint=_text("endpoint"),
        model=_text("model"),
        conversation=_text("conversation"),
        slow=seconds("slow"),
        since=seconds("since"),
        until=seconds("until"),
        search=_text("search"),
    )


def parse_page() -> tuple[str | None, int]:
    """Give the run that the page begins after, and how many it may have."""
    return _text("before"), page_limit(_PAGE, _LARGEST_PAGE)


def seconds(name: str) -> float | None:
    """Give a moment or a duration of the query, in seconds."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= YEAR_9999:
        raise InvalidRequest(f"{name}: must be a number of seconds")
    return value


def _switch(name: str) -> bool:
    text = request.args.get(name)
    if text not in (None, "1"):
        raise InvalidRequest(f"{name}: must be 1, or left out")
    return text == "1"


def _text(name: str) -> str | None:
    text = request.args.get(name, "")
    if len(text) > _LONGEST:
        raise InvalidRequest(f"{name}: is longer than {_LONGEST} characters")
    # No database takes NUL in a text, and no row has it.
    return text.replace("\0", "") or None


class Session(Struct, frozen=True, kw_only=True):
    """Login state of the dashboard."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    user: Annotated[str | None, Meta(description="User that is logged in, or `null`.")]
    has_log: Annotated[bool, Meta(description="Whether the server keeps a request log.")]


class Page(Struct, frozen=True, kw_only=True):
    """Page of runs. Timestamps in the dashboard API are Unix times."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    runs: Annotated[Sequence[RunRow], Meta(description="Runs of this page, newest first.")]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]
    now: Annotated[float, Meta(description="Current time of the server.")]


class RunDetail(Struct, frozen=True, kw_only=True):
    """Request log of one run."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    run: Annotated[RunRecord, Meta(description="Columns of the run.")]
    texts: Annotated[RunTexts, Meta(description="Texts, headers and steps of the run.")]
    events_url: Annotated[
        str | None, Meta(description="URL of the run's event stream, or `null` if it is no longer available.")
    ]
    now: Annotated[float, Meta(description="Current time of the server.")]


class Statistics(Struct, frozen=True, kw_only=True):
    """Statistics of a time range."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    chart: Annotated[Chart, Meta(description="Totals and time series.")]
    now: Annotated[float, Meta(description="Current time of the server.")]


class FilterOptionsView(Struct, frozen=True, kw_only=True):
    """Values that runs can be filtered by."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    choices: Annotated[FilterOptions, Meta(description="Values per filter.")]


class Ok(Struct, frozen=True, kw_only=True):
    """Confirmation without further data."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True


if TYPE_CHECKING:
    from persona_stream.db.statistics import TimeSeries

_DAY = 86_400.0
_DELIVERY = 60.0  # seconds: no answer takes longer to be delivered
_AT_A_TIME = 100


def add(blueprint: Blueprint, desk: Services) -> None:
    """Add these addresses to the blueprint of the dashboard."""

    @cache
    def charts() -> TimeSeries:
        from persona_stream.db.statistics import TimeSeries

        return TimeSeries(desk.clock, desk.settings.timeout + desk.settings.queue_timeout + _DELIVERY)

    @blueprint.get(f"{PATH}/api/session")
    def session() -> Response:
        user = authenticate_admin(request, desk.verifier).subject if has_token(request) else None
        return _json(Session(user=user, has_log=not isinstance(desk.store, NullStore)))

    @blueprint.get(f"{PATH}/api/runs")
    def runs() -> Response:
        authenticate_admin(request, desk.verifier)
        wanted, (before, limit) = parse_filters(), parse_page()
        found, following = desk.store.query(lambda connection: _log().list_runs(connection, wanted, before, limit))
        return _json(Page(runs=found, next=following, now=desk.clock()))

    @blueprint.get(f"{PATH}/api/runs/<run_id>")
    def show(run_id: str) -> Response:
        authenticate_admin(request, desk.verifier)
        found = desk.store.query(lambda connection: _log().get_run(connection, run_id))
        if found is None:
            # It may have begun a moment ago.
            desk.store.flush()
            found = desk.store.query(lambda connection: _log().get_run(connection, run_id))
        if found is None:
            raise NotFound("The log has no such run")
        run, texts = found
        return _json(RunDetail(run=run, texts=texts, events_url=_events_url(desk, run_id), now=desk.clock()))

    @blueprint.post(f"{PATH}/api/runs/<run_id>/cancel")
    def cancel(run_id: str) -> Response:
        authenticate_admin(request, desk.verifier, changes=True)
        desk.runs.cancel(desk.runs.follow(run_id, None))
        return _json(Ok())

    @blueprint.get(f"{PATH}/api/stats")
    def stats() -> Response:
        authenticate_admin(request, desk.verifier)
        now = desk.clock()
        until = min(seconds("until") or now, now)
        since = seconds("since")
        if since is None:
            since = until - _DAY
        if since >= until:
            raise InvalidRequest("since: must be before until, and before now")
        chart = desk.store.query(lambda connection: charts().build(connection, since, until))
        return _json(Statistics(chart=chart, now=now))

    @blueprint.get(f"{PATH}/api/choices")
    def choices() -> Response:
        authenticate_admin(request, desk.verifier)
        return _json(FilterOptionsView(choices=desk.store.query(lambda connection: _log().filter_options(connection))))

    @blueprint.delete(f"{PATH}/api/users")
    def forget() -> Response:
        authenticate_admin(request, desk.verifier, changes=True)
        name = request.args.get("name", "")
        if not name:
            raise InvalidRequest("name: is required")
        _cancel_all(desk, name)
        desk.store.enqueue(DeletedOwner(name))
        desk.store.flush()
        return _json(Ok())


def _log() -> ModuleType:
    # Imported where there is a log: without one, the library that it needs need not be there either.
    from persona_stream.db import run_queries as reading

    return reading


def _events_url(desk: Services, run_id: str) -> str | None:
    """Give the address of a run that is still kept elsewhere than in the log."""
    try:
        desk.runs.find(run_id, None)
    except (NotFound, Gone, Unavailable):
        return None
    return desk.events_url(run_id)


def _cancel_all(desk: Services, owner: str) -> None:
    """End what is under way: it would be written after all else is deleted."""
    before: str | None = None
    while True:
        journals, before = desk.runs.list_for_owner(owner, before, _AT_A_TIME)
        for journal in journals:
            if not has_ended(journal):
                desk.runs.cancel(desk.runs.follow(run_terms(journal).run_id, None))
        if before is None:
            return


def _json(body: object) -> Response:
    response = json_response(body)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
