"""Wait for a run's ending on behalf of a client that gets its answer at once."""

from __future__ import annotations

from flask import Request

from persona_stream.hub import Alarm
from persona_stream.journals import Journal, has_ended
from persona_stream.styles import SMART
from persona_stream.web.desk import Desk
from persona_stream.web.presence import Presence

CLIENT_LEFT = 499  # nobody reads it; logs know it by this name


def wait_for_ending(request: Request, desk: Desk, journal: Journal) -> bool:
    """Wait for the run's ending, or until the client is gone, which is looked at once an interval.

    Returns:
        whether the run has ended.
    """
    presence = Presence(request.environ)
    alarm = Alarm()
    leave = desk.runs.join(journal)
    journal.listen(alarm.ring)
    try:
        while not has_ended(journal) and not presence.gone():
            alarm.sleep(SMART.interval)
    finally:
        journal.unlisten(alarm.ring)
        presence.release()
        leave()
    return has_ended(journal)
