"""Resources that requests are targeted at: runs with all kinds of ends, and conversations."""

from __future__ import annotations

from fuzz.request_targeting import Known
from persona_stream.core.run_id import new_run_id
from tests.server_process import ServerProcess, token

_RUN_COUNT = 24  # enough for all kinds of answers
_CONVERSATIONS = ("talk.0", "talk.1", "talk.2")
_EXPIRED_TIME = 1_000_000_000.0
_DAY = 86_400.0


def create_known_ids(server: ServerProcess, user: str) -> Known:
    """Start runs as a user and return the ids of the created resources."""
    runs = [
        _ask(server, f"Question {number}", _CONVERSATIONS[number % len(_CONVERSATIONS)], user)
        for number in range(_RUN_COUNT)
    ]
    foreign = _ask(server, "What is mine?", "foreign", "another-user")
    return Known(
        run_id=[*runs, foreign, new_run_id(_EXPIRED_TIME)],
        conversation_id=[*_CONVERSATIONS, "foreign", "talk.new"],
        name=["main.js", "style.css", "index.html"],
        tokens=[token(user, _DAY, scope=scope) for scope in ("chat admin", "chat")],
    )


def _ask(server: ServerProcess, message: str, conversation: str, user: str) -> str:
    body = {"username": "ada", "message": message, "conversation_id": conversation, "reasoning": True}
    return server.post("/api/stream_chat_smart", body, user=user).headers["X-Run-Id"]
