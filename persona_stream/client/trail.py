"""What the client knows of its run, and how far it has read. With this it goes on where a connection broke."""

from __future__ import annotations

from persona_stream.client.reply import Reply
from persona_stream.core import cursor
from persona_stream.core.sse import Event
from persona_stream.errors import InvalidRequest

# A run id is a few dozen characters; whatever else calls itself one does not get into our addresses.
_MAX_ID_CHARACTERS = 500


class Trail:
    """Remember a run, and let every character through once.

    Attributes:
        run_id: the run, or an empty string while it is not known.
        last_event_id: where to resume.
        characters: how many of the answer have come.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self.conversation_id = ""
        self.last_event_id = ""
        self.characters = 0
        self._position = cursor.BEGINNING

    def met(self, run_id: str) -> None:
        """Take the id of the run, from wherever it is told first. It never changes after that."""
        if not self.run_id and len(run_id) <= _MAX_ID_CHARACTERS:
            self.run_id = run_id

    def take(self, event: Event, reply: Reply) -> bool:
        """Note an event. Tell whether it is new: one that brings text which the reader has is not."""
        self.met(reply.run_id)
        self.conversation_id = self.conversation_id or reply.conversation_id
        position = self._read(event.id)
        if (reply.text or reply.reasoning) and position is not None and position <= self._position:
            return False
        if event.id and len(event.id) <= _MAX_ID_CHARACTERS:
            self.last_event_id = event.id
        self._position = max(self._position, position or self._position)
        self.characters += len(reply.text)
        return True

    def has_moved(self, event_id: str) -> bool:
        """Tell whether this id is of a later position than every one before."""
        position = self._read(event_id)
        return position is not None and position > self._position

    def _read(self, event_id: str) -> cursor.Position | None:
        # A server that numbers its events otherwise is still read; it is then trusted not to repeat itself.
        try:
            return cursor.parse(event_id, self.run_id) if event_id else None
        except InvalidRequest:
            return None
