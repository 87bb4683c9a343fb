"""Backend for tests that describes the attachments it receives."""

from __future__ import annotations

import itertools
import json

from persona_stream import Query

_numbers = itertools.count(1)


def look(query: Query) -> str:
    """Return the number of the question, its attachments and its history as JSON."""
    attachments = [[each.type, each.name, each.media_type, each.size, each.url[:8]] for each in query.attachments]
    history = [turn.content for turn in query.history]
    return json.dumps({"number": next(_numbers), "attachments": attachments, "history": history})


look.capabilities = {"images", "files"}  # type: ignore[attr-defined]  # read by the server
