"""``/dashboard/api``: what the page asks for."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from persona_stream.db.base import NoStore
from persona_stream.db.records import OwnerForgotten
from persona_stream.errors import Gone, InvalidRequest, NotFound, Unavailable
from persona_stream.journals.base import has_ended, terms
from persona_stream.web.dashboard.asked import filters, page, seconds
from persona_stream.web.dashboard.entry import PATH, has_token, visitor
from persona_stream.web.dashboard.views import Chosen, Done, Drawn, Page, Session, Shown
from persona_stream.web.desk import Desk
from persona_stream.web.json_answers import json_answer

if TYPE_CHECKING:
    from persona_stream.db.statistics import Charts

_DAY = 86_400.0
_DELIVERY = 60.0  # seconds: no answer takes longer to be delivered
_AT_A_TIME = 100


def add(blueprint: Blueprint, desk: Desk) -> None:
    """Add these addresses to the blueprint of the dashboard."""

    @cache
    def charts() -> Charts:
        from persona_stream.db.statistics import Charts

        return Charts(desk.clock, desk.settings.timeout + desk.settings.queue_timeout + _DELIVERY)

    @blueprint.get(f"{PATH}/api/session")
    def session() -> Response:
        user = visitor(request, desk.verifier).subject if has_token(request) else None
        return _json(Session(user=user, has_log=not isinstance(desk.store, NoStore)))

    @blueprint.get(f"{PATH}/api/runs")
    def runs() -> Response:
        visitor(request, desk.verifier)
        wanted, (before, limit) = filters(), page()
        found, following = desk.store.ask(lambda connection: _log().list_runs(connection, wanted, before, limit))
        return _json(Page(runs=found, next=following, now=desk.clock()))

    @blueprint.get(f"{PATH}/api/runs/<run_id>")
    def show(run_id: str) -> Response:
        visitor(request, desk.verifier)
        found = desk.store.ask(lambda connection: _log().show_run(connection, run_id))
        if found is None:
            # It may have begun a moment ago.
            desk.store.settle()
            found = desk.store.ask(lambda connection: _log().show_run(connection, run_id))
        if found is None:
            raise NotFound("The log has no such run")
        run, texts = found
        return _json(Shown(run=run, texts=texts, events_url=_events_url(desk, run_id), now=desk.clock()))

    @blueprint.post(f"{PATH}/api/runs/<run_id>/cancel")
    def cancel(run_id: str) -> Response:
        visitor(request, desk.verifier, changes=True)
        desk.runs.cancel(desk.runs.follow(run_id, None))
        return _json(Done())

    @blueprint.get(f"{PATH}/api/stats")
    def stats() -> Response:
        visitor(request, desk.verifier)
        now = desk.clock()
        until = min(seconds("until") or now, now)
        since = seconds("since")
        if since is None:
            since = until - _DAY
        if since >= until:
            raise InvalidRequest("since: must be before until, and before now")
        chart = desk.store.ask(lambda connection: charts().draw(connection, since, until))
        return _json(Drawn(chart=chart, now=now))

    @blueprint.get(f"{PATH}/api/choices")
    def choices() -> Response:
        visitor(request, desk.verifier)
        return _json(Chosen(choices=desk.store.ask(lambda connection: _log().choices(connection))))

    @blueprint.delete(f"{PATH}/api/users")
    def forget() -> Response:
        visitor(request, desk.verifier, changes=True)
        name = request.args.get("name", "")
        if not name:
            raise InvalidRequest("name: is required")
        _cancel_all(desk, name)
        desk.store.keep(OwnerForgotten(name))
        desk.store.settle()
        return _json(Done())


def _log() -> ModuleType:
    # Imported where there is a log: without one, the library that it needs need not be there either.
    from persona_stream.db import run_queries as reading

    return reading


def _events_url(desk: Desk, run_id: str) -> str | None:
    """Give the address of a run that is still kept elsewhere than in the log."""
    try:
        desk.runs.find(run_id, None)
    except (NotFound, Gone, Unavailable):
        return None
    return desk.events_url(run_id)


def _cancel_all(desk: Desk, owner: str) -> None:
    """End what is under way: it would be written after all else is deleted."""
    before: str | None = None
    while True:
        journals, before = desk.runs.of_owner(owner, before, _AT_A_TIME)
        for journal in journals:
            if not has_ended(journal):
                desk.runs.cancel(desk.runs.follow(terms(journal).run_id, None))
        if before is None:
            return


def _json(body: object) -> Response:
    response = json_answer(body)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
