"""Wait for a run's ending on behalf of a client that gets its answer at once."""

from __future__ import annotations

from flask import Request

from persona_stream.journals import Journal, has_ended
from persona_stream.runs import wait_for_ending
from persona_stream.styles import SMART
from persona_stream.web.desk import Desk
from persona_stream.web.presence import Presence

CLIENT_LEFT = 499  # nobody reads it; logs know it by this name


def wait_with_client(request: Request, desk: Desk, journal: Journal) -> bool:
    """Wait for the run's ending, or until the client is gone, which is looked at once an interval.

    Returns:
        whether the run has ended.
    """
    presence = Presence(request.environ)
    leave = desk.runs.join(journal)
    try:
        wait_for_ending(journal, presence.gone, every=SMART.interval)
    finally:
        presence.release()
        leave()
    return has_ended(journal)
