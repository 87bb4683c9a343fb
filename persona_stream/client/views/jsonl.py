"""The events for programs: one JSON object a line, and the last one always says how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping

from persona_stream.client.harmless import harmless_json
from persona_stream.client.judgement import End
from persona_stream.client.outcome import Outcome
from persona_stream.client.screen import Screen
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Came, Ended, Update

_STATUSES = {Outcome.TIMEOUT: "timeout", Outcome.CANCELLED: "cancelled"}


class JsonLines:
    """Write what the server said; where it said nothing of the end, say it in the same form."""

    def __init__(self, screen: Screen, texts: Texts) -> None:
        self._screen, self._texts = screen, texts
        self._has_ended = False

    def show(self, update: Update) -> None:
        """Write the object of this update, if it brings one."""
        match update:
            case Came(reply=reply):
                self._write(reply.payload)
                self._has_ended = reply.is_last
            case Ended(end=end, seconds=seconds) if not self._has_ended:
                self._write(end.reply.payload if end.reply and end.reply.is_last else self._own(end, seconds))

    def _own(self, end: End, seconds: float) -> Mapping[str, object]:
        return {
            "success": end.outcome is Outcome.ANSWERED,
            "error": self._texts.error_of(end.code, end.detail),
            "code": end.code,
            "status": _STATUSES.get(end.outcome, "error"),
            "is_complete": True,
            "elapsed_time": round(seconds, 1),
        }

    def _write(self, payload: Mapping[str, object]) -> None:
        # JSON is UTF-8; where the stream is something else, only ASCII gets through whole.
        self._screen.write(harmless_json(json.dumps(payload, ensure_ascii=not self._screen.is_utf8)) + "\n")
