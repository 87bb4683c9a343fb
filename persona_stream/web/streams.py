"""Answer with a run's stream, from wherever a reader is."""

from __future__ import annotations

import math

from flask import Request, Response

from persona_stream.core import cursor, sse
from persona_stream.core.cursor import Position
from persona_stream.core.projection import SMART, STYLES, Reader, Script
from persona_stream.core.query import Locale
from persona_stream.journals.base import Journal, terms
from persona_stream.protocols.base import Dialect
from persona_stream.protocols.native.encoder import Native
from persona_stream.web.cutting import cutter
from persona_stream.web.desk import Desk
from persona_stream.web.event_stream import EventStream
from persona_stream.web.presence import Presence
from persona_stream.web.ready import Ready
from persona_stream.web.tallies import join


def run_headers(run_id: str) -> dict[str, str]:
    """Give the headers that name a run."""
    return {"X-Run-Id": run_id, "Location": f"/api/runs/{run_id}/events"}


def unbuffered(response: Response) -> None:
    """Tell proxies to pass on each byte as it comes, and as it is."""
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"


def _sent_on_at(request: Request, desk: Desk) -> float | None:
    """Give the moment when this reader is sent on at the latest, if it has said that it goes on by itself."""
    # Who comes while others are sent on has nowhere else to go.
    if request.headers.get("X-Persona-Resume") != "1" or desk.readers.are_sent_on:
        return None
    age = desk.settings.max_connection_age
    return math.inf if age is None else desk.clock() + age


def stream(
    request: Request,
    desk: Desk,
    journal: Journal,
    *,
    start: Position = cursor.BEGINNING,
    style_name: str | None = None,
    locale: Locale | None = None,
    dialect: Dialect | None = None,
) -> Response:
    """Give the response that streams a run from a position.

    Style and language are the run's own unless given, and so is whether there is reasoning; the dialect is the native
    one. A foreign dialect has reasoning always, and the style smart unless another is given.
    """
    run = terms(journal)
    style = STYLES[style_name or (SMART.name if dialect else run.style)]
    locale = locale or run.locale
    cut = run.chunking if style.name == run.style else style.chunking
    reader = Reader(style, cutter(cut), locale, start, reasoning=dialect is not None or run.reasoning)
    speak = dialect or Native(run.run_id, desk.events_url(run.run_id), style, locale)
    tally, leave = join(request, desk, journal, speak.name)
    events = EventStream(
        Script(journal.entries, reader, desk.clock),
        speak,
        journal,
        Presence(request.environ),
        leave,
        tally,
        desk.readers,
        desk.clock,
        _sent_on_at(request, desk),
    )
    headers = run_headers(run.run_id)
    response = Ready(events, headers=headers, content_type=sse.CONTENT_TYPE, direct_passthrough=True)
    unbuffered(response)
    return response
